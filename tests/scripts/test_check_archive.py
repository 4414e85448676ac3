"""scripts/check_archive.py: what somebody who starts TorchServe without the supervisor asks."""

import shutil
import subprocess
import sys
from pathlib import Path

import check_archive
from handler.integrity import weights_identity


def test_command_line(model_store: Path, model_file: Path, tmp_path: Path) -> None:
    good, bad = model_store / "age.mar", tmp_path / "bad.mar"
    bad.write_bytes(good.read_bytes()[:1000])

    def told(*archives: Path) -> tuple[int, list[str], list[str]]:
        command = [sys.executable, "-S", check_archive.__file__, *map(str, archives)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    whole = f"{good}: as it was packed, age 1.0, weights {weights_identity(model_file)}"
    assert told(good) == (0, [whole], [])
    code, lines, errors = told(bad, good, tmp_path / "none.mar")
    assert (code, lines) == (1, [whole])
    assert errors == [
        f"error: {bad} is damaged: make it anew with scripts/archive.py "
        "(it cannot be read: File is not a zip file)",
        f"error: {tmp_path}/none.mar is missing: make it with scripts/archive.py",
    ]


def test_needs_no_more_than_the_container_has(model_store: Path, tmp_path: Path) -> None:
    """The Dockerfile copies these beside the archive."""
    root = Path(check_archive.__file__).parents[1]
    for name in ("handler/__init__", "handler/contract", "handler/integrity"):
        assert f"{name}.py" in (root / "Dockerfile").read_text()
        (tmp_path / "handler").mkdir(exist_ok=True)
        shutil.copy(root / f"{name}.py", tmp_path / "handler")
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(check_archive.__file__, tmp_path / "scripts")
    command = [sys.executable, "-S", script, str(model_store / "age.mar")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
