"""server/check_archive.py: what somebody who starts TorchServe without the supervisor asks."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from handler.integrity import weights_identity
from server import archive
from tests.torchserve import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_command_line(model_store: Path, model_file: Path, tmp_path: Path) -> None:
    good, bad = model_store / "age.mar", tmp_path / "bad.mar"
    bad.write_bytes(good.read_bytes()[:1000])

    def run(*archives: Path) -> tuple[int, list[str], list[str]]:
        command = [sys.executable, ROOT / "scripts" / "check_archive.py", *map(str, archives)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    words = f"as it was packed, age 1.0, weights {weights_identity(model_file)}, predicts age"
    whole = f"{good}: {words}"
    assert run(good) == (0, [whole], [])
    code, (faces,), errors = run(model_store / "faces.mar")
    assert (code, errors) == (0, [])
    assert faces.endswith(", predicts age, tint")
    code, lines, errors = run(bad, good, tmp_path / "none.mar")
    assert (code, lines) == (1, [whole])
    assert errors == [
        f"error: {bad} is damaged: make it anew with scripts/archive.py "
        "(it cannot be read: File is not a zip file)",
        f"error: {tmp_path}/none.mar is missing: make it with scripts/archive.py",
    ]


def copied(stage: str, folder: Path) -> Path:
    """The code that the Dockerfile copies in one of its stages, in a folder."""
    (text,) = [part for part in DOCKERFILE.split("\nFROM ") if part.startswith(stage)]
    for line in text.splitlines():
        if line.startswith(("COPY handler", "COPY train", "COPY server", "COPY commands")):
            *sources, target = line.split()[1:]
            for source in sources:
                path = ROOT / source
                if path.is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(path, folder / target, ignore=ignored)
                else:
                    (folder / target).mkdir(exist_ok=True)
                    shutil.copy(path, folder / target)
    return folder


@pytest.mark.parametrize("module", ["check_archive", "supervisor", "readiness"])
def test_needs_no_more_than_the_container_has(
    module: str, model_store: Path, tmp_path: Path
) -> None:
    folder = copied("environment\n", tmp_path)
    words = [str(model_store / "age.mar")] if module == "check_archive" else ["--help"]
    command = [sys.executable, "-S", "-m", f"server.{module}", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_takes_the_archive_that_lies_in_the_store(
    model_file: Path, tmp_path: Path
) -> None:
    """One's own, whose model did not come along."""
    folder = copied("environment AS archive\n", tmp_path)
    store = folder / "model_store"
    store.mkdir()
    shutil.copy(ROOT / "model_store" / "model-config.yaml", store)
    model = Path(shutil.copy(model_file, tmp_path / "mine.pt"))
    archive.make(archive.Recipe((model,)), store / "age.mar")
    model.unlink()
    content = (store / "age.mar").read_bytes()
    command = [sys.executable, "-m", "server.ensure_archives"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("model_store/age.mar: served as it was packed; ")
    assert (store / "age.mar").read_bytes() == content
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for name in ("age.safetensors", "age.pt", "age.pt.json", "age.mar", "age.mar.json"):
        assert f"!model_store/{name}" in allowed
