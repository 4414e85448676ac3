"""bench/compare.py, soak.py and generator_capacity.py with a real TorchServe."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.comparison.systems import SYSTEMS
from tests.images import astronaut, encoded, scene
from tests.torchserve import ROOT

COMPARE = [sys.executable, "-m", "bench.compare"]


def of_folder(folder: Path) -> list[psutil.Process]:
    """The processes that were started for a run in `folder`."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


@pytest.fixture
def run(model_file, tmp_path):
    """Starts compare.py with a stand-in model, and folders that identify its processes."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        (images / f"{number}.jpg").write_bytes(
            encoded(astronaut()[: 500 - number], "JPEG", quality=95)
        )
    (images / "none.png").write_bytes(encoded(scene(90, 120)))

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMPARE, "--model", model_file, "--photos", images, *words],
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
    mixes = ("512 px, one face", "images as they are", "12 megapixels")
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


@pytest.mark.slow
def test_soak(model_file, tmp_path):
    command = [sys.executable, "-m", "bench.soak", "--model", str(model_file)]
    command += ["--requests", "400", "--interval", "0.1", "--large", "0", "--mix", "one=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines() if line[:1] == " "]
    table = [row for row in rows if len(row) == 7 and row[0] != "minute"][-10:]
    assert len(table) == 10, done.stderr
    assert 300 < float(table[-1][1]) < 600
    for _, _, counted, memory, threads, handles, files in table:
        assert int(counted) < 600
        assert float(memory) > 500
        assert float(threads) > 20
        assert float(handles) > 20
        assert float(files) > 10
    # so short a run ends before everything has settled
    (counts,) = re.findall(r"metrics: (\d+) images with (\d+) faces", done.stdout)
    assert counts[0] == counts[1]
    assert int(counts[0]) >= 400
    for fault in ("requests failed", "other processes", "files more", "load test counted"):
        assert fault not in done.stderr


@pytest.mark.slow
def test_generator_capacity():
    command = [sys.executable, "-m", "bench.generator_capacity", "--seconds", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, _, rest, rpc = (line.strip("| ").split(" | ") for line in done.stdout.splitlines())
    assert (rest[0], rpc[0]) == ("RestUser", "GrpcUser")
    for row in (rest, rpc):
        assert float(row[1]) > 20
        assert 0 < float(row[3].rstrip(" %")) < 110
