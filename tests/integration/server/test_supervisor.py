"""server/supervisor.py in environments that would undo its configuration."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server import readiness


@pytest.mark.parametrize(
    "module",
    [
        *("server.supervisor", "server.readiness", "server.ensure_archives", "server.exec_java"),
        "commands.predict",
    ],
)
def test_works_where_python_leaves_the_current_folder_out(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TS_CONFIG_FILE", "/dev/null"),
        ("TS_ENABLE_MODEL_API", "true"),
        ("_JAVA_OPTIONS", "-XX:+HeapDumpOnOutOfMemoryError"),
        ("LOG4J_CONFIGURATION_FILE", "/dev/null"),
    ],
)
@pytest.mark.parametrize("words", [[], ["--background"]])
def test_what_undoes_the_configuration_is_refused(
    name: str, value: str, words: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.supervisor", "--state", str(tmp_path), *words],
        cwd=readiness.ROOT,
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {name} is set in the environment: unset it; ")
