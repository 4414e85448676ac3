"""A run as a Ray Data job: actors on the machines of a cluster answer its chunks.

    numbers of chunks -> map_batches, on a pool of actors, which write the run's parts -> numbers

So a job that was killed goes on as any run does: with the chunks that have no part. Ray's own
checkpoints are of no use here: the filter of a job that goes on takes one more CPU, and without it
waits for ever. The actors read the photos: `read_binary_files` would end the job at the first file
that cannot be read.
"""

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from commands.bulk.progress import Progress
from commands.bulk.ray_actor import ID, ChunkActor, Job
from commands.bulk.run import Run
from commands.image_search import shown
from server.errors import CommandError

_ENDS_EARLY: Final = 5.0  # seconds for a cluster's machine to accept a connection
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

    `machines`: the resources of each, by Ray's names; `cpu` leaves GPUs alone. One CPU is left to
    Ray itself: with actors on all a job may wait for ever, and says nothing. Raises CommandError if
    the cluster is too small.
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
    # Ray prints what it says of workers that died, and keeps some of it until its end.
    with redirect_stdout(sys.stderr):
        try:
            yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
        finally:
            ray.shutdown()


def answer(run: Run, missing: Sequence[int], job: Job, place: Layout) -> None:
    """Have the chunks that have no part yet answered on the connected cluster.

    Raises CommandError if the job fails.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    numbers = ray.data.from_items([{ID: n} for n in missing], override_num_blocks=len(missing))
    answered = numbers.map_batches(
        ChunkActor,
        fn_constructor_args=(job,),
        batch_size=1,
        num_cpus=place.cpus,
        num_gpus=place.gpus,
        compute=ActorPoolStrategy(size=place.actors, max_tasks_in_flight_per_actor=_IN_FLIGHT),
    )
    left = sum(map(run.photos.size, missing))
    with Progress(len(run.photos), len(run.photos) - left) as progress:
        try:
            for chunk in answered.iter_rows():
                progress.add(run.photos.size(chunk[ID]))
        except Exception as error:  # whatever an actor or Ray raised, often by way of Ray's own
            raise CommandError(f"the Ray job failed: {_line(error)}") from error


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


def _line(error: BaseException) -> str:
    """The line of an error that says what to do: Ray's have the way that it came, too."""
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip()
    ours = re.findall(rf"\b{CommandError.__name__}: (.+)", text)
    lines: Sequence[Any] = ours or text.splitlines() or [type(error).__name__]
    return shown(lines[-1].strip())
