import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench import compare
from bench.measure.systems import SYSTEMS, Share, shipped
from tests.images import astronaut, encoded, scene

ROOT = Path(__file__).resolve().parents[3]
COMPARE = [sys.executable, "-m", "bench.compare"]


def test_missing_packages_are_named_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(compare, "NEEDED", ("json", "no_such_web_framework"))
    monkeypatch.setattr(sys, "argv", ["compare.py"])
    assert compare.main() == 1
    assert capsys.readouterr().err == (
        "error: no_such_web_framework not installed: pip install -e ./client -e '.[compare]'\n"
    )


def test_missing_model_is_named_in_one_line(tmp_path):
    words = ["--model", str(tmp_path / "none.pt"), "--systems", "ours"]
    done = subprocess.run([*COMPARE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "none.pt" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ours_is_shipped_with_the_share_asked_for(model_file):
    config = shipped(Share(model_file, workers=3, threads=2))
    assert (config["minWorkers"], config["maxWorkers"]) == (3, 3)
    assert config["handler"]["threads"] == 2
    assert config["batchSize"] >= 1


def of_folder(folder: Path) -> list[psutil.Process]:
    """The processes that were started for a run in `folder`."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


@pytest.fixture
def run(model_file, tmp_path):
    """Starts compare.py with a stand-in model and folders that it can be told by."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number in range(3):
        (photographs / f"{number}.jpg").write_bytes(
            encoded(astronaut()[: 500 - number], "JPEG", quality=95)
        )
    (photographs / "none.png").write_bytes(encoded(scene(90, 120)))

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMPARE, "--model", model_file, "--photos", photographs, *words],
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    yield start
    assert of_folder(temporary) == []
    assert list(temporary.glob("compare-*")) == []


@pytest.mark.slow
def test_compare(run, tmp_path):
    file = tmp_path / "compare.json"
    words = ["--rounds", "1", "--seconds", "1"]
    with run(*words, "--json", str(file)) as process:
        output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    content = json.loads(file.read_text())
    results = {(r["mix"], r["system"]): r for r in content["results"]}
    mixes = ("512 px, one face", "photographs as they are", "12 megapixels")
    assert [*results] == [(mix, system.title) for mix in mixes for system in SYSTEMS.values()]
    for (mix, _), result in results.items():
        assert result["faults"] == []
        assert result["faces"] == (1 if mix == mixes[0] else 3)
        assert result["alone_p50_ms"] > 0
        assert result["images_per_second"] > 0
        assert result["cpu_seconds_per_image"] > 0
        assert result["peak_memory_mib"] > 200
    for mix in mixes:
        assert f"| {mix} | images/s |" in output
        assert "agree within 0.00 years" in errors


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_early_leaves_nothing(run, number):
    with run("--systems", "torchserve", "fastapi", "direct") as process:
        for line in process.stderr:
            if line.startswith("512 px"):
                break
        time.sleep(1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "stopped"
