"""How the worker processes of a run are set up: devices, threads and batches of this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handler.cores import cores
from handler.options import Options
from handler.settings import Settings
from server.sizing import gpu_memory, sizing

CPU_BATCH_SIZE: Final = 4  # images: nobody waits for one of them


@dataclass(frozen=True)
class Setup:
    """All that a worker process is told when it starts."""

    models: tuple[Path, ...]
    settings: Settings
    options: Options
    device: str  # as torch names it
    threads: int
    batch_size: int  # images


def setups(
    models: Sequence[Path],
    settings: Settings,
    options: Options,
    processes: int | None = None,
    *,
    cpu: bool = False,
) -> list[Setup]:
    """A setup for each process: one a core with one thread, or those that suit the GPUs.

    `processes` is their number unless None; `cpu` leaves GPUs alone.
    """
    gpus = 0 if cpu else len(gpu_memory())
    if not gpus:
        count, batch_size, threads = processes or cores(), CPU_BATCH_SIZE, 1
    else:
        sized = sizing(1)
        count, batch_size = processes or sized.workers or gpus, sized.batch_size
        threads = max(1, cores() // count)
    return [
        Setup(
            tuple(models),
            settings,
            options,
            f"cuda:{number % gpus}" if gpus else "cpu",
            min(settings.threads, cores()) or threads,
            batch_size,
        )
        for number in range(count)
    ]
