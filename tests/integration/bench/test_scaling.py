"""bench/scaling.py on real images."""

import io
from pathlib import Path

import pytest
from PIL import Image

from bench import in_process, scaling
from tests.images import astronaut, encoded, scene, side_by_side


@pytest.fixture
def worker(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> in_process.Worker:
    worker = in_process.Worker((model_file,), threads=1)
    monkeypatch.setattr(scaling, "Worker", lambda: worker)
    return worker


@pytest.mark.usefixtures("worker")
class TestMeasuring:
    def test_portraits_are_those_with_one_face(self, tmp_path: Path) -> None:
        two = side_by_side(astronaut(), astronaut())
        images = {"a": astronaut()[:400, :400], "b": astronaut(), "c": scene(400, 300), "d": two}
        for name, image in images.items():
            (tmp_path / f"{name}.png").write_bytes(encoded(image))
        found = scaling.portraits(tmp_path)
        assert found.largest.size == (512, 512)
        sizes = []
        for body in found.small:
            with Image.open(io.BytesIO(body)) as file:
                sizes.append(file.size)
        assert sizes == [(512, 512), (512, 512)]

    def test_a_folder_without_a_portrait(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encoded(scene(400, 300)))
        with pytest.raises(ValueError, match="shows one face"):
            scaling.portraits(tmp_path)

    def test_cost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scaling, "ENOUGH", 0)
        face = encoded(astronaut(), "JPEG")
        cost = scaling.cost_here([face, face])
        assert cost.faces == 2
        assert 0 < cost.seconds < 5
        assert sum(cost.stages.values()) == pytest.approx(cost.seconds, rel=0.5)
        assert 0 <= cost.stages["rest"] < cost.seconds
        assert -100 < cost.megabytes < 500

    def test_what_is_refused_has_no_cost(self) -> None:
        with pytest.raises(ValueError, match="starts like a PDF"):
            scaling.cost_here([b"%PDF-1.4"])
