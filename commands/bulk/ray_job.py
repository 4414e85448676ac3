"""A run as a Ray Data job: actors on the machines of a cluster answer its chunks.

    numbers of chunks -> map_batches, on a pool of actors -> write_parquet -> the run's parts

Ray's checkpoints know which chunks are written, so a job that was killed goes on with the others.
The photos are read by the actors: `read_binary_files` would end the job at the first file that
cannot be read, and read all photos again to go on.
"""

import logging
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from commands.bulk.progress import Progress
from commands.bulk.ray_actor import ID, ChunkActor, Job, outcomes
from commands.bulk.run import Run
from commands.image_search import shown
from server.errors import CommandError

_ENDS_EARLY: Final = 5.0  # seconds for a cluster's machine to accept a connection
_LOOK: Final = 1.0  # seconds between two looks at what is written
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a local cluster would report to Ray's makers
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # on stderr, among the progress
}
# where the actors find this package: an editable installation, or a copy that all machines share
_PATH: Final = os.pathsep.join(
    filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")))
)
_IN_FLIGHT: Final = 2  # chunks that an actor has or waits for


@dataclass(frozen=True)
class Layout:
    """The actors of a job, and what each takes of the cluster."""

    actors: int
    cpus: int
    gpus: int


def layout(
    machines: Sequence[Mapping[str, float]], actors: int | None = None, *, cpu: bool = False
) -> Layout:
    """One actor for each GPU, or for each CPU but one, or so many.

    `machines`: the resources of each, by Ray's names; `cpu` leaves GPUs alone. Ray reads, writes
    and filters on the CPU that is left: without one a job waits for ever and says nothing. Raises
    CommandError if the cluster is too small.
    """
    total = sum(int(each.get("CPU", 0)) for each in machines)
    if total < 2:
        raise CommandError(
            f"the Ray cluster has {total} CPU, and Ray needs one beside the actor's: start it with "
            "--num-cpus=2, or leave --ray out"
        )
    with_gpus = [] if cpu else [each for each in machines if each.get("GPU", 0) >= 1]
    if with_gpus:
        cpus = max(1, min(int((each.get("CPU", 0) - 1) // each["GPU"]) for each in with_gpus))
        most = min(sum(int(each["GPU"]) for each in with_gpus), (total - 1) // cpus)
    else:
        cpus, most = 1, total - 1
    if actors and actors > most:
        raise CommandError(f"--processes {actors}: the Ray cluster has room for {most}")
    return Layout(actors or most, cpus, int(bool(with_gpus)))


@contextmanager
def cluster(address: str) -> Iterator[list[Mapping[str, float]]]:
    """Connect to Ray; yields the resources of each machine. Raises CommandError if none answers.

    `address` is HOST:PORT, `auto` for the cluster of this machine, or `local` to start one that
    ends with this process.
    """
    _check(address)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray.data  # an extra

    for name in ("ray", "ray.data"):  # an error is raised too, and told in a line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"env_vars": {"PYTHONPATH": _PATH}},
        )
    except Exception as error:  # Ray raises a bare one where a machine is slow
        raise CommandError(f"no Ray cluster at {shown(address)}: {_line(error)}") from error
    try:
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def answer(run: Run, folder: Path, job: Job, place: Layout) -> None:
    """Answer a run's chunks by a job on the connected cluster, and write the run's parts.

    `folder` is the job's own: all machines write there. Raises CommandError if the job fails.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.checkpoint import CheckpointConfig

    written = folder / "rows"
    written.mkdir(parents=True, exist_ok=True)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.use_datasource_v2 = False  # which would read the checkpoints in 32 processes
    # The run removes them with the rest: a kill after the job would begin it again.
    context.checkpoint_config = CheckpointConfig(
        ID, str((folder / "checkpoints").absolute()), delete_checkpoint_on_success=False
    )
    count = len(run.photos.chunks)
    chunks = ray.data.range(count, override_num_blocks=count).map_batches(
        ChunkActor,
        fn_constructor_args=(job,),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=place.cpus,
        num_gpus=place.gpus,
        compute=ActorPoolStrategy(size=place.actors, max_tasks_in_flight_per_actor=_IN_FLIGHT),
    )
    with _progress(run, written):
        try:
            chunks.write_parquet(str(written.absolute()))
        except (
            Exception
        ) as error:  # whatever an actor or Ray itself raised, often by way of Ray's own
            raise CommandError(f"the Ray job failed: {_line(error)}") from error
    for file in sorted(written.glob("*.parquet")):
        for number, outcome in outcomes(file):
            run.write(number, outcome)
    shutil.rmtree(folder)


def _check(address: str) -> None:
    """Raise CommandError if nothing listens: Ray would try for long, or end the process."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), _ENDS_EARLY).close()
    except OSError as error:
        words = error.strerror or "no answer"
        raise CommandError(f"no Ray cluster at {shown(address)}: {words}") from error


@contextmanager
def _progress(run: Run, written: Path) -> Iterator[None]:
    """Shows how many photos are in the files that a job has written; each has a chunk."""
    size = run.photos.size(0) if len(run.photos) else 0
    over = threading.Event()

    def done() -> int:
        return min(len(run.photos), size * sum(1 for _ in written.glob("*.parquet")))

    with Progress(len(run.photos), done()) as progress:

        def watch() -> None:
            while not over.wait(_LOOK):
                progress.add(done() - progress.done)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
            progress.add(len(run.photos) - progress.done)
        finally:
            over.set()
            thread.join()


def _line(error: BaseException) -> str:
    """The line of an error that says what to do: Ray's have the way that it came, too."""
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip()
    ours = re.findall(rf"\b{CommandError.__name__}: (.+)", text)
    lines: Sequence[Any] = ours or text.splitlines() or [type(error).__name__]
    return shown(lines[-1].strip())
