"""commands/predict.py and bench/evaluate_service.py against a real service."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import astronaut, encoded, scaled, scene, side_by_side, turned
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
    greens = np.asarray(Image.open(output))[40:180, 150:300].reshape(-1, 3)
    assert (greens == (64, 224, 120)).all(axis=1).sum() > 500


def test_annotated_folder(service: Service, images, tmp_path):
    out = tmp_path / "out"
    done = run("commands.predict", "--url", service.rest, "--annotate", out, images)
    assert (done.returncode, done.stderr) == (0, LEFT_OUT)
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert made == ["below/two.PNG.png", "one.jpg.png"]


@pytest.fixture
def labelled(tmp_path: Path, model_file) -> Path:
    """Images with true ages 2 years above what the model says, and one without a face."""
    rows = ["file,age"]
    for i, factor in enumerate((0.8, 1.0, 1.2)):
        image = encoded(scaled(astronaut(), factor))
        (tmp_path / f"{i}.png").write_bytes(image)
        (face,) = expected(model_file, image)["faces"]
        rows.append(f"{i}.png,{face['age'] + 2}")
    (tmp_path / "none.png").write_bytes(encoded(scene(300, 400)))
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "none.png,30"]) + "\n")
    return tmp_path


@pytest.mark.parametrize(("against", "code"), [("2.2", 0), ("3.0", 1)])
def test_evaluation(service: Service, labelled, against, code):
    words = ["--url", service.rest, "--labels", labelled / "labels.csv", "--against", against]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stderr) == (code, "")
    counts, errors, coverage, verdict = done.stdout.splitlines()
    assert counts == "4 images, 4 answered, 1 without a face that was found"
    assert errors.startswith("MAE 2.00 [2.00, 2.00] years, CS@5 100.00")
    assert coverage.startswith("the interval holds the true age of 100.00")
    assert verdict.endswith("ok" if code == 0 else "too far apart")


def test_evaluation_in_a_file(service: Service, labelled, tmp_path):
    written = tmp_path / "figures" / "figures.json"
    words = ["--url", service.rest, "--labels", labelled / "labels.csv", "--json", written]
    assert run("bench.evaluate_service", labelled, *words).returncode == 0
    content = json.loads(written.read_text())
    figures = content.pop("figures")
    assert content == {"pictures": 4, "answered": 4, "found": 3}
    assert figures.keys() == {"mae", "bias", "cs5", "coverage", "width"}
    assert figures["mae"] == pytest.approx({"value": 2, "low": 2, "high": 2, "count": 3})
    assert figures["bias"]["value"] == pytest.approx(-2)


def test_evaluation_by_bounds(service: Service, labelled):
    """4 years wide, their middle 3 years above what the model says."""
    table = labelled / "labels.csv"
    rows = [row.split(",") for row in table.read_text().splitlines()[1:]]
    bounds = [f"{file},{float(age) - 1},{float(age) + 3}" for file, age in rows]
    table.write_text("\n".join(["file,age_low,age_high", *bounds]) + "\n")
    words = ["--url", service.rest, "--labels", table, "--against", "3.2"]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stderr) == (0, "")
    _, errors, inside, verdict = done.stdout.splitlines()
    assert errors.startswith("MAE to the middle 3.00 [3.00, 3.00] years, bias -3.00")
    assert inside.startswith("100.00")
    assert verdict == "-0.20 years against 3.2: ok"


def test_evaluation_without_ages(service: Service, labelled):
    (labelled / "labels.csv").write_text("file,age_low\n0.png,30\n")
    words = ["--url", service.rest, "--labels", labelled / "labels.csv"]
    done = run("bench.evaluate_service", labelled, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("has no columns file and age, or file, age_low and age_high\n")


def test_evaluation_with_an_image_that_fails(service: Service, labelled):
    (labelled / "0.png").unlink()
    words = ["--url", service.rest, "--labels", labelled / "labels.csv"]
    done = run("bench.evaluate_service", labelled, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: 0.png: ")
    assert done.stdout.startswith("4 images, 3 answered, 1 without")
