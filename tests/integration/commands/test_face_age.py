"""face-age runs training commands as modules, and names the extra that is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from commands.main import CALLED

FACE_AGE = Path(sys.executable).parent / "face-age"


def face_age(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FACE_AGE, *words], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", CALLED)
def test_works_outside_of_the_repository(name: str, tmp_path: Path) -> None:
    done = face_age(name, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: face-age {name} ")


def test_its_exit_code_is_the_command_s(tmp_path: Path) -> None:
    done = face_age("check", "none.mar", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: none.mar is missing: make it with scripts/archive.py\n"


def test_a_training_command_is_the_module_s(tmp_path: Path) -> None:
    done = face_age("fit", "fit.epochs=many", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: fit.epochs=many: a whole number of at least 1 is expected\n"


@pytest.mark.parametrize(
    ("name", "hidden", "command"),
    [
        ("predict", "face_age_client", "pip install -e ./client -e '.[client]'"),
        ("fit", "hydra", "pip install -e '.[train]'"),
    ],
)
@pytest.mark.parametrize("asks", [True, False])
def test_without_the_extra(name: str, hidden: str, command: str, asks: bool) -> None:
    code = f"""
import sys
sys.modules[{hidden!r}] = None
sys.argv = ["face-age", {name!r}, *{["--help"] * asks!r}]
from commands.main import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    line = f"{hidden} is not installed: {command}\n"
    if asks:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: face-age {name} ...\n")
        assert done.stdout.endswith(line)
    else:
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {line}")
