"""bench/scaling.py: synthetic images, tables and plots."""

import io
import mmap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import scaling
from bench.scaling import Cost, Portraits, Series
from bench.scaling_plots import draw
from loadtests import synthetic
from tests.images import astronaut, scene


class TestImages:
    @pytest.mark.parametrize("megapixels", [0.25, 3])
    def test_of_size(self, megapixels: float) -> None:
        image = Image.fromarray(astronaut()[:384])
        made = synthetic.of_size(image, megapixels)
        assert made.width * made.height == pytest.approx(1e6 * megapixels, rel=0.01)
        assert made.width * made.height <= 1e6 * megapixels
        assert made.width / made.height == pytest.approx(512 / 384, rel=0.01)
        noise = np.asarray(made, float) - np.asarray(image.resize(made.size), float)
        assert 3 < noise.std() < 5

    def test_portrait(self) -> None:
        made = synthetic.portrait(Image.fromarray(scene(1000, 2000)))
        assert made.size == (512, 256)

    @pytest.mark.parametrize("faces", [0, 1, 306])
    def test_crowd(self, faces: int) -> None:
        made = np.asarray(synthetic.crowd(faces))
        assert made.shape == (2048, 2048, 3)
        coloured = (made.max(axis=2) - made.min(axis=2) > 20).mean()
        assert coloured == pytest.approx(0.857 * faces / 306, rel=0.01)

    @pytest.mark.parametrize("faces", [-1, 307])
    def test_no_room(self, faces: int) -> None:
        with pytest.raises(ValueError, match="has 0 to 306 faces"):
            synthetic.crowd(faces)

    def test_encoded(self) -> None:
        with Image.open(io.BytesIO(synthetic.encoded(Image.new("RGB", (3, 2))))) as file:
            assert (file.format, file.size) == ("JPEG", (3, 2))


def test_the_peak_is_of_what_was_done_since() -> None:
    scaling.forget_peak()
    before = scaling.memory("VmRSS")
    with mmap.mmap(-1, 40 * 2**20) as block:  # past malloc, which may have kept freed memory
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
    assert scaling.memory("VmHWM") - before == pytest.approx(40, abs=5)
    scaling.forget_peak()
    assert scaling.memory("VmHWM") - scaling.memory("VmRSS") == pytest.approx(0, abs=5)


def test_stages_and_what_they_leave() -> None:
    found = {("decode",): 1.0, ("detect",): 3.0, ("detect", "refine"): 2.0}
    costs = {path: scaling.stages.Cost(wall=wall) for path, wall in found.items()}
    assert scaling._by_stage(5.0, costs) == {"decode": 1, "detect": 3, "rest": 1, "all": 5}


def test_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two and four images of 50,000 bytes each."""

    def cost(batch: list[bytes]) -> Cost:
        stages = {"detect": 0.3 * len(batch), "rest": 0.02 * len(batch)}
        return Cost(0.32 * len(batch), stages, 10.0 * len(batch), 3 * len(batch))

    monkeypatch.setattr(scaling, "cost", cost)
    given = Portraits([bytes(50_000)] * 3, Image.new("RGB", (8, 8)))
    series = Series("batch", "images", (2, 4), scaling._of_portraits, each=True)
    series.run(given, tmp_path)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "| images | MB sent | faces found | ms for an image of the batch | detect | rest "
        "| MB of memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| 2 | 0.10 | 6 | 320.0 | 300.0 | 20.0 | 20 |",
        "| 4 | 0.20 | 12 | 320.0 | 300.0 | 20.0 | 40 |",
    ]
    assert (tmp_path / "growth-batch.png").stat().st_size > 5000


def test_neighbours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(scaling, "cost", lambda batch: Cost(len(batch), {}, 0, 0))
    monkeypatch.setattr(scaling, "latencies", lambda _, batch, crowds: (len(batch), crowds))
    monkeypatch.setattr(scaling, "crowd", lambda faces: Image.new("RGB", (faces, 1)))
    scaling.neighbours(Portraits([b""], Image.new("RGB", (8, 8))), "http://127.0.0.1:8080")
    rows = [line for line in capsys.readouterr().out.splitlines() if line[2:3] not in ("", "-")]
    assert rows == [
        "| one batch, called directly | ms |",
        "| one portrait | 1000 |",
        "| 7 portraits | 7000 |",
        "| the crowd | 1000 |",
        "| the crowd and 7 portraits | 8000 |",
        "| sent together to the service | a portrait, median ms | slowest ms |",
        "| 7 portraits | 7000 | 0 |",
        "| the crowd and 7 portraits | 8000 | 1000 |",
    ]


def test_latencies_are_the_portraits_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def __init__(self, url: str) -> None:
            assert url == "http://127.0.0.1:8080"

        def predict(self, body: bytes) -> None:
            scaling.time.sleep(len(body) / 100)

        def close(self) -> None:
            pass

    monkeypatch.setattr(scaling, "RestClient", Client)
    monkeypatch.setattr(scaling, "ROUNDS", 3)
    batch = [bytes(30), bytes(1), bytes(1), bytes(10)]
    middle, slowest = scaling.latencies("http://127.0.0.1:8080", batch, 1)
    assert 0.01 <= middle < 0.08
    assert 0.1 <= slowest < 0.25


def test_plot(tmp_path: Path) -> None:
    file = tmp_path / "scaling.png"
    times = {"decode": [1.0, 2.0], "detect": [5.0, 6.0]}
    draw(file, "megapixels", (1, 50), times, [10.0, 20.0], "a request")
    with Image.open(file) as pil_image:
        image = np.asarray(pil_image.convert("RGB"))
        assert "Software" not in pil_image.info
    assert image.shape == (330, 924, 3)
    assert (image == 255).all(axis=2).mean() > 0.5  # light
    for colour in ((76, 120, 168), (245, 133, 24)):  # both stages
        assert (image == colour).all(axis=2).mean() > 0.01
    again = tmp_path / "again.png"
    draw(again, "megapixels", (1, 50), times, [10.0, 20.0], "a request")
    assert again.read_bytes() == file.read_bytes()


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["scaling.py", str(tmp_path)])
    monkeypatch.setattr(scaling, "Worker", lambda: None)
    assert scaling.main() == 1
    assert capsys.readouterr().err == f"error: {tmp_path} holds no photos\n"
