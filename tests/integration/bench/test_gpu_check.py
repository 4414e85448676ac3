"""bench/gpu_check.py and its parts, on the CPU in a GPU's place."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gpu_check, gpu_parts
from bench.gpu_check import Part
from handler.answer import Answer
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings
from tests.images import astronaut, encoded, scaled, scene

FEW = ["--device", "cpu", "--batches", "1", "2", "--repeats", "2"]
TRAINING = ["--backbone", "test_resnet", "--side", "32", "--batch-size", "16", "--crops", "32"]


def figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str, *words: object
) -> dict[str, Any]:
    file = tmp_path / f"{part}.json"
    command = ["gpu_parts", part, "--json", str(file), *FEW, *map(str, words)]
    monkeypatch.setattr(sys, "argv", command)
    assert gpu_parts.main() == 0
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def test_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = figures(monkeypatch, tmp_path, "machine")
    assert found["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert found["cores"] >= 1


def test_agreement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_file: Path) -> None:
    """The CPU agrees with itself in float32."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.png").write_bytes(encoded(scaled(astronaut(), 0.5)))
    (photos / "none.png").write_bytes(encoded(scene(90, 70)))
    found = figures(monkeypatch, tmp_path, "agreement", "--model", model_file, "--photos", photos)
    assert (found["images"], found["faces"]) == (2, 1)
    exact = found["float32, batches of 1"]
    assert (exact["faces of the CPU alone"], exact["faces of the other alone"]) == (0, 0)
    assert exact["pixels"]["most"] == exact["years"]["most"] == 0
    assert found.keys() >= {"bfloat16, batches of 8", "float16, batches of 8"}


def test_a_face_that_one_side_alone_finds(model_file: Path) -> None:
    loaded = Pipeline.load([model_file], Settings(), torch.device("cpu"))
    (with_face,) = loaded.run([Request(encoded(astronaut()))])
    assert isinstance(with_face, Answer)
    without = replace(with_face, faces=())
    ways = [({"a": with_face}, {"a": without}), ({"a": without}, {"a": with_face})]
    counts = [list(gpu_parts.compared(one, other).values())[:2] for one, other in ways]
    assert counts == [[1, 0], [0, 1]]


def test_stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_file: Path) -> None:
    found = figures(monkeypatch, tmp_path, "stages", "--model", model_file)
    two = found["batch of 2, decoder cpu"]
    assert two["images a second"] == pytest.approx(2000 / two["ms"]["all"])
    assert two["ms"].keys() >= {"decode", "detect/propose", "estimate"}


def test_graphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_file: Path) -> None:
    found = figures(monkeypatch, tmp_path, "graphs", "--model", model_file)
    assert list(found) == ["precision", *(f"{count} faces" for count in (1, 2, 3, 4, 8))]
    assert all(found["3 faces"][name] > 0 for name in ("ms", "ms with graphs"))


def test_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = figures(monkeypatch, tmp_path, "training", *TRAINING, "--epochs", "6")
    assert found["seconds of a first run of one epoch"] > 0
    assert found["images a second"] > 0


def test_a_folder_without_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_parts", "agreement", "--photos", str(tmp_path)])
    assert gpu_parts.main() == 1
    assert capsys.readouterr().err == f"error: {tmp_path} holds no images\n"


class TestCheck:
    @staticmethod
    def part(code: str, limit: float = 60) -> Part:
        """Of one command, which is told its file."""
        return Part(
            "", limit, lambda output, _: {"x": [sys.executable, "-c", code, str(output / "x.json")]}
        )

    def run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: Part) -> int:
        monkeypatch.setattr(gpu_check, "PARTS", {"x": part})
        monkeypatch.setattr(gpu_check, "ensure_model", lambda model: None)
        monkeypatch.setattr(sys, "argv", ["gpu_check", "--output", str(tmp_path / "out"), "x"])
        return gpu_check.main()

    @pytest.mark.parametrize(
        ("code", "exit_code", "outcome"),
        [
            ("import sys; open(sys.argv[1], 'w').write('{}'); print('said')", 0, "done"),
            ("print('said')", 1, "done"),  # and has left no figures
            ("import sys; print('said'); sys.exit(3)", 1, "failed with 3"),
        ],
    )
    def test_outcomes(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        code: str,
        exit_code: int,
        outcome: str,
    ) -> None:
        assert self.run(monkeypatch, tmp_path, self.part(code)) == exit_code
        (line,) = capsys.readouterr().out.splitlines()
        assert line.endswith(f" s  {outcome}: {tmp_path}/out/x.json")
        assert (tmp_path / "out" / "x.log").read_text() == "said\n"

    def test_a_part_that_hangs(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        part = self.part("import time; time.sleep(60)", 0.5)
        assert self.run(monkeypatch, tmp_path, part) == 1
        assert "ended after 0 s" in capsys.readouterr().out

    def test_pytest_s_report(self, tmp_path: Path) -> None:
        (tmp_path / "tests.xml").write_text(
            '<testsuites><testsuite><testcase classname="a" name="good"/>'
            '<testcase classname="a" name="bad"><failure/></testcase>'
            '<testcase classname="a" name="left"><skipped/></testcase></testsuite></testsuites>'
        )
        gpu_check._summarize(tmp_path)
        assert json.loads((tmp_path / "tests.json").read_text()) == {
            "tests": 3,
            "skipped": 1,
            "failed": ["a::bad"],
        }

    def test_list(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["gpu_check", "--list"])
        assert gpu_check.main() == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == list(gpu_check.PARTS)

    def test_an_unknown_part(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["gpu_check", "tset"])
        with pytest.raises(SystemExit, match="2"):
            gpu_check.main()
        assert "no part tset; there are machine, tests, agreement, " in capsys.readouterr().err
