"""bench/profiling.py on real images."""

from pathlib import Path

import pytest
import torch

from bench import in_process, profiling
from handler.integrity import weights_identity
from tests.images import astronaut, encoded, scene


class TestCommand:
    @pytest.fixture
    def images(self, tmp_path: Path) -> list[Path]:
        bodies = {
            "face.jpg": encoded(astronaut(), "JPEG"),
            "scene.png": encoded(scene(60, 80)),
            "broken.jpg": b"\xff\xd8\xff",
        }
        for name, body in bodies.items():
            (tmp_path / name).write_bytes(body)
        return [tmp_path / name for name in bodies]

    def run(self, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
        monkeypatch.setattr("sys.argv", ["profiling.py", *map(str, words)])
        return profiling.main()

    def test_tells_of_each_image(
        self,
        images: list[Path],
        model_file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = [*images, "--model", model_file, "--repeats", 2, "--threads", 1]
        assert self.run(monkeypatch, *words) == 0
        first, *reports = capsys.readouterr().out.split("\n\n")
        assert first == "1 threads; medians of 2 calls"
        heads = [part.splitlines()[0].split(": ", 1)[1] for part in reports]
        assert heads[:2] == ["512 x 512 pixels, faces: 1", "80 x 60 pixels, faces: 0"]
        assert heads[2].startswith("InvalidImage: the JPEG cannot be decoded")
        for part in reports:
            assert part.splitlines()[2].startswith("all  ")

    def test_tells_of_a_batch_and_its_operators(
        self,
        images: list[Path],
        model_file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = [*images, "--model", model_file, "--repeats", 1, "--threads", 1]
        words += ["--together", "--ops", 1]
        assert self.run(monkeypatch, *words) == 0
        _, reports = capsys.readouterr().out.split("\n\n")
        lines = reports.splitlines()
        assert [line.split(",")[0] for line in lines[:3]] == [path.name for path in images]
        assert [line.split()[0] for line in lines].count("all") == 1
        assert any("aten::" in line for line in lines)

    def test_tells_what_the_peak_would_take(
        self,
        images: list[Path],
        model_file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("bench.peak_flops.SIDE", 64)
        words = [images[0], "--model", model_file, "--repeats", 1, "--threads", 1, "--peak"]
        assert self.run(monkeypatch, *words) == 0
        first, reports = capsys.readouterr().out.split("\n\n")
        assert "billion a second in float32" in first
        lines = reports.splitlines()
        (head,) = (i for i, line in enumerate(lines) if "at peak, ms" in line)
        compared = [line.split()[0] for line in lines[head + 1 :]]
        # the stand-in model has none that counts
        assert compared == ["detect/propose", "detect/refine", "detect/decide"]

    def test_a_missing_image_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, tmp_path / "none.jpg") == 1
        assert capsys.readouterr().err == f"error: {tmp_path}/none.jpg: No such file or directory\n"


def test_the_worker_in_process_is_the_handler(model_file: Path) -> None:
    worker = in_process.Worker((model_file,), threads=1)
    face, none, broken = worker.contents(
        [encoded(astronaut(), "JPEG"), encoded(scene(40, 60)), b"%PDF"]
    )
    assert face["model"] == {
        "name": "age",
        "version": "1.0",
        "weights": weights_identity(model_file),
    }
    assert face["faces"][0]["box"] == pytest.approx([181, 62, 268, 172], abs=6)
    assert none["faces"] == []
    assert broken["code"] == 415
    assert torch.get_num_threads() == 1
