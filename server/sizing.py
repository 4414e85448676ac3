"""The workers, batches, queue and Java's memory that suit this machine."""

import json
import math
import os
import re
import shutil
import subprocess  # nosec B404
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handler.cores import cores
from server.readiness import read_properties

# On a CPU a batch of 4 has a tenth more throughput than one of 2, and 2 than 1; but with 2 only
# one image waits for a crowd in the same batch. A GPU needs few calls with large batches.
CPU_BATCH_SIZE, GPU_BATCH_SIZE = 2, 32  # images
CPU_QUEUE = 64  # images

# Several workers keep a GPU busy while others decode, each with its own copy of the model.
MOST_WORKERS_PER_GPU: Final = 4
CORES_PER_WORKER: Final = 4  # that decode for it
GPU_MEMORY_PER_WORKER: Final = 4096  # MiB: CUDA's context, the model, and a batch's canvases

WORKERS: Final = "default_workers_per_model"
_HEAP: Final = re.compile(r"-Xmx(\d+)([kmg]?)", re.IGNORECASE)
_MARGIN: Final = 256 << 20  # bytes of Java's memory for all but images


@dataclass(frozen=True)
class Sizing:
    """How a service with some models uses this machine."""

    batch_size: int  # images in one call of the handler
    queue: int  # images of each model that may wait
    workers: int | None  # of each model; None: TorchServe starts one for each core


def sizing(models: int) -> Sizing:
    """The sizing for a service of so many models."""
    memory = gpu_memory()
    if not memory:
        return Sizing(CPU_BATCH_SIZE, CPU_QUEUE, None)
    of_cores = cores() // (CORES_PER_WORKER * len(memory))
    of_memory = min(memory) // GPU_MEMORY_PER_WORKER
    each = max(1, min(of_cores, of_memory, MOST_WORKERS_PER_GPU) // models)
    workers = each * len(memory)
    # the workers' next batch waits while they compute one, and as many again
    return Sizing(GPU_BATCH_SIZE, max(CPU_QUEUE, 2 * workers * GPU_BATCH_SIZE), workers)


def batch_size() -> int:
    """Images in one call of the handler."""
    return sizing(1).batch_size


def gpu_memory() -> list[int]:
    """The memory in MiB of each GPU that TorchServe uses, by nvidia-smi; 0 where it is unknown.

    TorchServe counts the entries of CUDA_VISIBLE_DEVICES, or else what nvidia-smi lists.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    listed = subprocess.run(  # nosec B603  # no shell, no user input
        [program, *query], capture_output=True, text=True, check=False
    )
    lines = [line.strip() for line in listed.stdout.splitlines() if line.strip()]
    if listed.returncode or not any(line[0].isdigit() or line[0] == "[" for line in lines):
        return []
    memory = [int(line) if line.isdecimal() else 0 for line in lines]
    visible = [word for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
    if visible:
        known = [int(word) for word in visible if word.strip().isdecimal()]
        memory = [memory[i] if i < len(memory) else 0 for i in known]
    most = os.environ.get("TS_NUMBER_OF_GPU", "")
    return memory[: int(most)] if most.isdecimal() else memory


def sized(config: Path, models: Sequence[tuple[str, str]], copy: Path) -> Path:
    """Write `copy`, a configuration with this machine's sizes where `config` names none.

    `models`: (name, version) of each. Java's memory is raised to what full queues take, unless
    `config` names their size. Raises NotReady if `config` cannot be read.
    """
    properties = read_properties(config)
    names = {name for name, _ in models}
    chosen = sizing(len(names))
    lines = {}
    if "models" not in properties:
        sizes: dict[str, dict[str, dict[str, int]]] = {}
        for name, version in models:
            sizes.setdefault(name, {})[version] = {"batchSize": chosen.batch_size}
        lines["models"] = json.dumps(sizes)
    if WORKERS not in properties and chosen.workers:
        lines[WORKERS] = str(chosen.workers)
    if "job_queue_size" not in properties:
        lines["job_queue_size"] = str(chosen.queue)
        if vmargs := _with_heap(properties | lines, len(names), chosen):
            lines["vmargs"] = vmargs
    added = "".join(f"{key}={value}\n" for key, value in lines.items())
    copy.write_text(f"{config.read_text()}\n{added}")
    return copy


def with_workers(environ: Mapping[str, str], config: Path) -> dict[str, str]:
    """`environ` with `config`'s number of workers, by which one knows its share of the cores.

    Raises NotReady if `config` cannot be read.
    """
    workers = read_properties(config).get(WORKERS)
    return {f"TS_{WORKERS.upper()}": workers, **environ} if workers else dict(environ)


def _with_heap(properties: Mapping[str, str], models: int, chosen: Sizing) -> str | None:
    """`vmargs` with memory for full queues and busy workers; None where theirs is enough."""
    vmargs = properties.get("vmargs", "")
    found = _HEAP.search(vmargs)
    if found is None:  # Java takes a quarter of the machine's memory
        return None

    def number(key: str, default: int) -> int:
        given = os.environ.get(f"TS_{key.upper()}") or properties.get(key, "")
        return int(given) if given.isdecimal() else default

    workers = number(WORKERS, cores())
    images = models * (number("job_queue_size", 100) + workers * chosen.batch_size)
    needed = images * number("max_request_size", 6553500) + _MARGIN
    if int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[found[2].lower()] >= needed:
        return None
    return _HEAP.sub(f"-Xmx{math.ceil(needed / 2**30)}g", vmargs)
