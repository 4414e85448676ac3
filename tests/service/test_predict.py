"""commands/predict.py against a real service."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handler.imaging.annotate import COLOUR
from tests.images import astronaut, encoded, scaled, side_by_side, turned
from tests.service.exchange import assert_same, expected
from tests.torchserve import Service


def run(module: str, *arguments: object, cwd: Path | None = None):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


LEFT_OUT = "left out, as no images: 1 .txt\n"  # of the folder `images`


@pytest.fixture(params=["REST", "gRPC"])
def where(request, service: Service) -> list[str]:
    """The command line's words for one of the two ways to ask."""
    return ["--url", service.rest] if request.param == "REST" else ["--grpc", "--url", service.grpc]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with an image of one face, one of two below it, and what is no image."""
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    (folder / "one.jpg").write_bytes(encoded(astronaut(), "JPEG"))
    (folder / "below" / "two.PNG").write_bytes(
        encoded(side_by_side(astronaut(), scaled(astronaut(), 0.7)))
    )
    (folder / "notes.txt").write_text("no image")
    return folder


def test_line_for_a_person(where, images):
    done = run("commands.predict", *where, "one.jpg", cwd=images)
    assert (done.returncode, done.stderr) == (0, "")
    name, count, ages = done.stdout.strip().split(": ")
    assert (name, count) == ("one.jpg", "1 face")
    age, low, high = ages.replace("(", "").replace(")", "").replace("to ", "").split()
    assert float(low) < float(age) < float(high)


def test_json_lines_in_order(where, images, model_file):
    done = run("commands.predict", *where, "--json", images, images / "one.jpg")
    assert (done.returncode, done.stderr) == (0, LEFT_OUT)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    files = [Path(line.pop("file")) for line in lines]
    assert files == [images / "below" / "two.PNG", images / "one.jpg"]
    for file, content in zip(files, lines, strict=True):
        assert_same(content, expected(model_file, file.read_bytes()))


def test_options_and_version(where, images):
    image = images / "below" / "two.PNG"
    options = ["--max-faces", "1", "--min-confidence", "0.5", "--model-version", "2.0"]
    done = run("commands.predict", *where, "--json", *options, image)
    content = json.loads(done.stdout)
    assert len(content["faces"]) == 1
    assert content["model"]["version"] == "2.0"


def test_one_failed(where, images):
    (images / "broken.jpg").write_bytes(encoded(astronaut(), "JPEG")[:3000])
    missing = images / "missing.jpg"
    done = run("commands.predict", *where, images, missing)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    *others, broken = done.stderr.splitlines()
    assert {*others} == {f"error: {missing}: no such file or folder", LEFT_OUT.rstrip()}
    assert broken.startswith(f"error: {images / 'broken.jpg'}: InvalidImage: the JPEG ")


def test_reader_that_has_seen_enough(service: Service, tmp_path):
    for i in range(20):
        (tmp_path / f"{i}.jpg").write_bytes(encoded(scaled(astronaut(), 0.3), "JPEG"))
    command = [sys.executable, "-m", "commands.predict", "--url", service.rest]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, str(tmp_path)], stdout=pipe, stderr=pipe) as process:
        assert process.stdout.readline().startswith(str(tmp_path).encode())
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)  # 0: all was written before the reader left


def test_annotated_image_is_upright(service: Service, tmp_path):
    image, output = tmp_path / "turned.jpg", tmp_path / "out.png"
    image.write_bytes(turned(astronaut()[:, :400], 6, "JPEG"))
    done = run("commands.predict", "--url", service.rest, "--annotate", output, image)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(output) as pil_image:
        assert (pil_image.format, pil_image.size) == ("PNG", (400, 512))
        changed = (np.asarray(pil_image).astype(int) - astronaut()[:, :400] != 0).any(axis=2)
    assert changed[55:180, 175:275].mean() > 0.05  # the box
    around = np.asarray(Image.open(output))[40:180, 150:300].reshape(-1, 3)
    assert (around == COLOUR).all(axis=1).sum() > 500


def test_annotated_folder(service: Service, images, tmp_path):
    out = tmp_path / "out"
    done = run("commands.predict", "--url", service.rest, "--annotate", out, images)
    assert (done.returncode, done.stderr) == (0, LEFT_OUT)
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert made == ["below/two.PNG.png", "one.jpg.png"]
