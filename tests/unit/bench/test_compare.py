import subprocess
import sys
from pathlib import Path

from bench import compare
from bench.comparison.systems import Share, shipped

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
