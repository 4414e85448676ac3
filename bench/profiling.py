"""Prints the time of a request's stages, for any images.

    python -m bench.profiling PHOTO...                each a request of its own
    python -m bench.profiling PHOTO... --together     all of them one batch
    python -m bench.profiling PHOTO --ops --threads 1
    python -m bench.profiling PHOTO --peak --threads 1

The handler runs in this process as in a worker, without TorchServe around it. Not called
`profile.py`: beside other scripts that name hides Python's own module, and torchvision, which
imports cProfile, could not be imported.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench import peak_flops, stages
from bench.in_process import CONFIG, MODEL, Worker
from bench.stages import Cost, Moment
from commands.option_types import whole

WARM_UP = 2  # calls; TorchScript profiles and optimises on the first ones of a new shape
REST = "(rest)"  # of a stage, beside those inside it
ALL: stages.Path = ()  # the whole request
AGES: stages.Path = ("estimate",)  # the one stage that may compute in another precision


@dataclass(frozen=True)
class Operator:
    """One of torch's operators within a stage."""

    stage: stages.Path
    name: str
    calls: int
    seconds: float  # without the operators that it calls


def measured(ask: Callable[[], object], repeats: int) -> dict[stages.Path, Cost]:
    """The median cost of each stage, and of `ALL`, over `repeats` calls."""
    runs = []
    for _ in range(repeats):
        with stages.watched() as spans:
            start = Moment.now()
            ask()
            end = Moment.now()
        runs.append(with_rests(stages.costs([stages.Span(ALL, start, end), *spans])))
    return {
        path: Cost(
            median(run[path].wall for run in runs),
            median(run[path].cpu for run in runs),
            first.items,
        )
        for path, first in runs[0].items()
    }


def with_rests(costs: Mapping[stages.Path, Cost]) -> dict[stages.Path, Cost]:
    """The costs, with the remainder of each stage after its parts."""
    found: dict[stages.Path, Cost] = {}

    def tell(path: stages.Path) -> None:
        found[path] = costs[path]
        parts = [part for part in costs if part and part[:-1] == path]
        for part in parts:
            tell(part)
        if parts:
            found[*path, REST] = Cost(
                costs[path].wall - sum(costs[part].wall for part in parts),
                costs[path].cpu - sum(costs[part].cpu for part in parts),
            )

    tell(ALL)
    return found


def table(costs: Mapping[stages.Path, Cost]) -> str:
    """Lines of stage, milliseconds, share of all, milliseconds of CPU, items."""
    lines = ["stage            wall ms   share    CPU ms   items"]
    for path, cost in costs.items():
        name = "  " * (len(path) - 1) + path[-1] if path else "all"
        share = cost.wall / costs[ALL].wall
        lines.append(
            f"{name:<14}{1e3 * cost.wall:>10.2f}{share:>8.1%}{1e3 * cost.cpu:>10.2f}"
            f"{cost.items or '':>8}".rstrip()
        )
    return "\n".join(lines)


def operators(ask: Callable[[], object]) -> list[Operator]:
    """Torch's operators in one call, the costliest first, each in the innermost stage around it."""
    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities, acc_events=True) as profiled:
        ask()
    calls = defaultdict[tuple[stages.Path, str], int](int)
    seconds = defaultdict[tuple[stages.Path, str], float](float)
    for event in profiled.events() or ():
        if event.is_user_annotation:
            continue
        key = _stage(event), event.name
        calls[key] += 1
        seconds[key] += 1e-6 * (
            event.self_device_time_total if on_gpu else event.self_cpu_time_total
        )
    found = [Operator(*key, count, seconds[key]) for key, count in calls.items()]
    return sorted(found, key=lambda operator: -operator.seconds)


def _stage(event: Any) -> stages.Path:
    names = []
    while event := event.cpu_parent:
        if event.is_user_annotation:
            names.append(event.name)
    return tuple(reversed(names))


def operator_table(found: Sequence[Operator], most: int) -> str:
    """The first `most` operators of each stage."""
    lines = ["stage                operator                          self ms   calls"]
    for stage in dict.fromkeys(operator.stage for operator in found):
        for operator in [o for o in found if o.stage == stage][:most]:
            lines.append(
                f"{'/'.join(stage) or REST:<21}{operator.name:<32}"
                f"{1e3 * operator.seconds:>9.2f}{operator.calls:>8}"
            )
    return "\n".join(lines)


def outcome(content: Mapping[str, Any]) -> str:
    """One line about an answer, or a failure."""
    if "width" not in content:
        return f"{content['type']}: {content['message']}"
    faces = len(content.get("faces", ()))
    return f"{content['width']} x {content['height']} pixels, faces: {faces}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Print where the time of a request goes.")
    parser.add_argument("images", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument("--together", action="store_true", help="as one batch")
    parser.add_argument(
        "--repeats", type=whole(1), default=20, help="of which the medians are (20)"
    )
    parser.add_argument("--threads", type=whole(1), help="of the CPU, instead of the config's")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument(
        "--ops",
        type=whole(1),
        nargs="?",
        const=5,
        default=0,
        metavar="N",
        help="the N costliest operators of each stage too (5)",
    )
    parser.add_argument(
        "--peak",
        action="store_true",
        help="what the stages' arithmetic would take at this machine's peak, on a CPU",
    )
    arguments = parser.parse_args()
    try:
        bodies = [path.read_bytes() for path in arguments.images]
        model, config, threads = arguments.model, arguments.config, arguments.threads
        worker = Worker((model,), config, threads=threads)
        if arguments.peak:
            counted = Worker((model,), config, threads=threads, precision="float32")
            peaks = {"float32": peak_flops.peak("float32")}
            peaks |= {worker.precision: peak_flops.peak(worker.precision)}
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{torch.get_num_threads()} threads; medians of {arguments.repeats} calls")
    if arguments.peak:
        said = (f"{1e-9 * rate:,.0f} billion a second in {name}" for name, rate in peaks.items())
        print(f"the peak: {', '.join(said)}")
    names = [path.name for path in arguments.images]
    batches = [range(len(bodies))] if arguments.together else [[i] for i in range(len(bodies))]
    for batch in batches:
        images = [bodies[i] for i in batch]
        for _ in range(WARM_UP):
            contents = worker.contents(images)
        print()
        for i, content in zip(batch, contents, strict=True):
            print(f"{names[i]}, {len(bodies[i]) / 1e3:.0f} kB: {outcome(content)}")
        costs = measured(partial(worker.ask, images), arguments.repeats)
        print(table(costs))
        if arguments.peak:
            counts = peak_flops.operations(partial(counted.ask, images))
            rates = {
                path: peaks[worker.precision if path == AGES else "float32"] for path in counts
            }
            print(peak_flops.table(peak_flops.beside(costs, counts, rates)))
        if arguments.ops:
            print(operator_table(operators(partial(worker.ask, images)), arguments.ops))
    return 0


if __name__ == "__main__":
    sys.exit(main())
