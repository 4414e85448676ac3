"""commands/batch.py in processes: killed, stopped and gone on with; a photo that ends a process.

Most photos show no face and are small, so that a run has several chunks and takes seconds.
"""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.archives import rewritten
from tests.images import FACE_BOX, astronaut, encoded, scene, side_by_side

MANY = 1200  # photos: five chunks
FACES = {7: 1, 500: 2, 1100: 1}  # in the photos of these numbers
BAD = 300

# Imported by every Python that starts: reading the file poison.jpg ends the process.
POISON = """
import os
from commands import image_files

def read(path, read=image_files.read):
    if path.name == "poison.jpg":
        os.abort()
    return read(path)

image_files.read = read
"""


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "commands.batch", *map(str, words)]


def run(*words: object, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return [*csv.DictReader(lines)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    none = encoded(scene(40, 40), "JPEG")
    faces = {1: astronaut(), 2: side_by_side(astronaut(), astronaut())}
    for number in range(MANY):
        count = FACES.get(number)
        body = encoded(faces[count], "JPEG") if count else none
        name = folder / f"below{number % 3}" / f"{number:05}.jpg"
        name.parent.mkdir(exist_ok=True)
        name.write_bytes(body[:200] if number == BAD else body)
    return folder


def wait_for_parts(folder: Path, count: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while len([*folder.glob("*.part.jsonl")]) < count:
        assert process.poll() is None, "the run is over"
        assert time.monotonic() < until
        time.sleep(0.01)


def test_killed_and_stopped_it_goes_on(many: Path, model_file: Path, tmp_path: Path) -> None:
    """No row is lost, and none is there twice."""
    words = [many, "--out", "ages.csv", "--model", model_file, "--processes", 2]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parts = tmp_path / "ages.csv.parts"
    ended = []
    # a stop undoes the part that it finds half moved: of three, two are kept
    for count, number in ((1, signal.SIGKILL), (3, signal.SIGTERM)):
        with subprocess.Popen(
            command(*words), cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True
        ) as process:
            wait_for_parts(parts, count, process)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)  # the workers have its stderr: they end
        ended.append((process.returncode, errors.splitlines()[-1]))
    assert ended[0][0] == -signal.SIGKILL
    assert ended[1] == (143, "stopped; the same command goes on from ages.csv.parts")
    assert not (tmp_path / "ages.csv").exists()
    kept = len([*parts.glob("*.part.jsonl")])
    assert 2 <= kept < 5

    other = run(*words, "--min-confidence", 0.5, cwd=tmp_path)
    assert other.returncode == 2
    assert "is of a run with other options: give the same" in other.stderr

    done = run(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "ages.csv: 4 faces in 1,199 photos, 1,196 of them without a face; 1 files without an "
        "answer are in ages.failures.csv\n",
    )
    assert done.stderr.startswith("going on with the run of ")
    found = Counter(int(Path(row["path"]).stem) for row in table(tmp_path / "ages.csv"))
    assert found == {number: FACES.get(number, 1) for number in range(MANY) if number != BAD}
    (failure,) = table(tmp_path / "ages.failures.csv")
    assert failure["path"] == str(many / "below0" / f"{BAD:05}.jpg")
    assert failure["type"] == "InvalidImage"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ages.csv", "ages.failures.csv"]


def test_only_the_photo_that_ends_a_process_fails(model_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("a", "b", "poison", "z"):
        (folder / f"{name}.jpg").write_bytes(encoded(astronaut(), "JPEG"))
    (tmp_path / "sitecustomize.py").write_text(POISON)
    path = os.pathsep.join(filter(None, (str(tmp_path), *sys.path)))
    words = ["few", "--out", "ages.csv", "--model", model_file, "--processes", 1]
    done = run(*words, cwd=tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stdout[:29]) == (0, "ages.csv: 3 faces in 3 photos")
    rows = table(tmp_path / "ages.csv")
    assert [row["path"] for row in rows] == ["few/a.jpg", "few/b.jpg", "few/z.jpg"]
    box = [float(rows[0][side]) for side in ("x1", "y1", "x2", "y2")]
    assert box == pytest.approx(FACE_BOX, abs=3)
    (failure,) = table(tmp_path / "ages.failures.csv")
    assert (failure["path"], failure["type"]) == ("few/poison.jpg", "ProcessEnded")
    assert failure["message"].startswith(
        "the process that had this file alone was ended by SIGABRT"
    )


def test_a_model_that_no_process_can_load(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    broken = tmp_path / "age.pt"
    shutil.copyfile(model_file, broken)
    with zipfile.ZipFile(broken) as archive:
        code = [name for name in archive.namelist() if name.endswith(".py")]
    rewritten(broken, dict.fromkeys(code, b"no code"))
    done = run("a.jpg", "--out", "ages.csv", "--model", broken, "--processes", 1, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: a worker process on cpu cannot start: ")
    assert line.endswith("; the same command goes on from ages.csv.parts")
