"""face-age batch --ray on a real Ray of this machine: killed and gone on with, an actor killed."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.images import astronaut, encoded
from tests.integration.commands.ray_cluster import Cluster, started
from tests.integration.commands.test_batch import (
    BAD,
    FACES,
    MANY,
    POISON,
    command,
    many,
    run,
    table,
)

__all__ = ["many"]
SECONDS = 300.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """With two CPUs: one for an actor, one for Ray."""
    if importlib.util.find_spec("ray") is None:
        assert "RAY_IS_TESTED" not in os.environ
        pytest.skip("no Ray: pip install -c constraints.txt -e '.[ray]'")
    with started(2) as cluster:
        yield cluster


def wait_for(what: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + SECONDS
    while not what():
        assert process.poll() is None, "the run is over"
        assert time.monotonic() < until
        time.sleep(0.02)


def test_killed_it_goes_on(cluster: Cluster, many: Path, model_file: Path, tmp_path: Path) -> None:
    """No row is lost or there twice: the files are those of a run without Ray, to the byte."""
    words = [many, "--model", model_file, "--out", "ages.csv", "--ray", cluster.address]
    parts = tmp_path / "ages.csv.parts"

    def written() -> dict[str, int]:
        """The parts, and when each was written."""
        return {file.name: file.stat().st_mtime_ns for file in parts.glob("*.part.jsonl")}

    def begin() -> "subprocess.Popen[str]":
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen(
            command(*words),
            cwd=tmp_path,
            env=environ | cluster.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with begin() as process:
        wait_for(written, process)
        process.send_signal(signal.SIGKILL)
    kept = written()
    assert kept
    assert not (tmp_path / "ages.csv").exists()
    until = time.monotonic() + SECONDS
    while actors(cluster):  # of the job whose driver is gone
        assert time.monotonic() < until
        time.sleep(0.1)

    with begin() as process:
        wait_for(lambda: actors(cluster), process)
        wait_for(lambda: len(written()) > len(kept), process)
        assert kept.items() <= written().items(), "what was done is not done again"
        (actor,) = actors(cluster)
        os.kill(actor, signal.SIGKILL)
        out, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (
        0,
        "ages.csv: 4 faces in 1,199 photos, 1,196 of them without a face; 1 files without an "
        "answer are in ages.failures.csv\n",
    ), errors
    assert errors.startswith("going on with the run of ")
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ages.csv", "ages.failures.csv"]
    rows = table(tmp_path / "ages.csv")
    assert len(rows) == MANY - 1 + sum(FACES.values()) - len(FACES)
    assert BAD not in {int(Path(row["path"]).stem) for row in rows}

    plain = run(many, "--model", model_file, "--out", "plain.csv", cwd=tmp_path)
    assert plain.returncode == 0
    for end in (".csv", ".failures.csv"):
        on_ray, without = (tmp_path / f"{name}{end}" for name in ("ages", "plain"))
        assert on_ray.read_bytes() == without.read_bytes()


def test_only_the_photo_that_ends_a_process_fails(
    cluster: Cluster, model_file: Path, tmp_path: Path
) -> None:
    """Ray itself would begin its chunk again and again."""
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("a", "poison"):
        (folder / f"{name}.jpg").write_bytes(encoded(astronaut(), "JPEG"))
    (tmp_path / "sitecustomize.py").write_text(POISON)
    path = os.pathsep.join(filter(None, (str(tmp_path), *sys.path)))
    words = ["few", "--out", "ages.csv", "--model", model_file, "--ray", cluster.address]
    done = run(*words, cwd=tmp_path, PYTHONPATH=path, **cluster.environ)
    assert (done.returncode, done.stdout[:27]) == (0, "ages.csv: 1 faces in 1 phot"), done.stderr
    assert [row["path"] for row in table(tmp_path / "ages.csv")] == ["few/a.jpg"]
    (failure,) = table(tmp_path / "ages.failures.csv")
    assert (failure["path"], failure["type"]) == ("few/poison.jpg", "ProcessEnded")


def test_more_actors_than_there_is_room_for(
    cluster: Cluster, model_file: Path, tmp_path: Path
) -> None:
    """They would wait for ever."""
    (tmp_path / "a.jpg").write_bytes(b"")
    words = ["a.jpg", "--out", "ages.csv", "--model", model_file, "--processes", 2]
    done = run(*words, "--ray", cluster.address, cwd=tmp_path, **cluster.environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(  # behind what Ray says of its log
        "error: --processes 2: the Ray cluster has room for 1; the same command goes on from "
        "ages.csv.parts\n"
    )


def test_what_ray_says_at_its_end_is_no_output(cluster: Cluster) -> None:
    """It keeps what it says again, of a worker that died for example, until it is shut down."""
    script = f"""
from commands.bulk.ray_job import cluster
with cluster({cluster.address!r}):
    from ray._private.worker import print_to_stdstream
    for _ in range(2):
        said = {{"lines": ["a worker died"], "pid": "raylet", "ip": "a", "is_err": False}}
        print_to_stdstream(said, False)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | cluster.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "done\n"
    assert done.stderr.count("a worker died") == 2


def actors(cluster: Cluster) -> list[int]:
    return cluster.processes(b"ray::MapWorker(MapBatches(ChunkActor))")
