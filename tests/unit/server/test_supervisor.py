"""server/supervisor.py and scripts/serve.sh; with a real TorchServe in tests/service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server import readiness

SUPERVISE = [sys.executable, "-m", "server.supervisor"]


FORM = "give NAME=ARCHIVE, such as age=model_store/age.mar"


def test_stop_without_a_service_is_fine(tmp_path: Path) -> None:
    done = stop(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing runs\n", "")


def stop(state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SUPERVISE, "--stop", "--state", str(state)],
        cwd=readiness.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_full_stdout_does_not_change_the_exit_code(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SUPERVISE, "--stop", "--state", str(tmp_path)],
            cwd=readiness.ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


class TestServeScript:
    """scripts/serve.sh, where it needs no environment."""

    script = readiness.ROOT / "scripts" / "serve.sh"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_help(self) -> None:
        done = self.run("--help")
        assert done.returncode == 0
        assert done.stdout.startswith("usage: scripts/serve.sh [--background | --stop] ")

    def test_unknown_option(self) -> None:
        done = self.run("--backgroud")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: unknown option --backgroud (scripts/serve.sh --help)\n"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--models", f"--models names nothing: {FORM}"),
            ("--models --background", f"--models names nothing: {FORM}"),
            ("--models age.mar", f"--models age.mar: {FORM}"),
            ("--models=all", f"--models all: {FORM}"),
            ("--models age=a.mar age=", f"--models age=: {FORM}"),
            ("--model", "--model needs a file: --model runs/mine/age.pt"),
            ("--model --background", "--model needs a file: --model runs/mine/age.pt"),
            ("--model=", "--model needs a file: --model runs/mine/age.pt"),
            ("--model a --model b", "one --model at a time; two versions: --models NAME=ARCHIVE "),
            ("--model a --models b=c", "one of --model, which packs a model, and --models, which "),
            ("--background --stop", "one of --background and --stop (scripts/serve.sh --help)"),
            ("--stop --models a=b", "--stop ends whatever runs: give it alone"),
            ("mine.pt", "unknown argument mine.pt: a model is given by --model FILE, an archive "),
            ("--models a=b -x", "unknown option -x (scripts/serve.sh --help)"),
        ],
    )
    def test_a_wrong_argument_is_reported_the_right_form(self, words: str, message: str) -> None:
        done = self.run(*words.split())
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {message}")

    @pytest.mark.parametrize("option", ["--model FILE", "--models NAME=ARCHIVE ..."])
    def test_help_names_the_option(self, option: str) -> None:
        assert f"\n  {option} " in self.run("--help").stdout

    def test_no_python(self, tmp_path: Path) -> None:
        command = f"source scripts/environment.sh; PATH={tmp_path}; find_python"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=readiness.ROOT,
            env={k: v for k, v in os.environ.items() if k != "PYTHON"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: no Python 3.11 to 3.13 found: install one")
