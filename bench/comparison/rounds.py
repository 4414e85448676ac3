"""Measures running systems in turn, in several rounds."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.comparison.generator import Closed, Generator, Once, Open
from bench.comparison.load import Run, arrivals
from bench.comparison.report import Result
from bench.comparison.statistics import Ages, ages, faults, largest_difference, latencies, rate
from bench.comparison.systems import DIRECT, OURS, Running
from bench.comparison.workloads import Mix
from bench.process_tree import PeakMemory, ProcessTree, machine_cpu_seconds

CORES: Final = os.cpu_count() or 1
WARM: Final = 10  # images that warm a system up, at least
AGREE: Final = 0.05  # years between the service and the pipeline called directly


class Broken(Exception):
    """A system has stopped answering; the message has its name and its last answer."""


@dataclass(frozen=True)
class Plan:
    """Duration and repetitions."""

    rounds: int
    seconds: float  # of each point, at least
    seed: int  # of the times at half of saturation


class Measured:
    """One running system with one mix."""

    def __init__(
        self, name: str, running: Running, mix: Mix, folder: Path, generator: Generator
    ) -> None:
        """`folder` holds the images that `Mix.write` wrote."""
        self.result = Result(mix.name, name)
        self.reference: dict[int, Ages] = {}  # ages of the first answers
        self._order = range(len(mix.bodies))
        self._place = running.place
        self._under_way = running.under_way
        self._folder = folder
        self._generator = generator
        self._tree = ProcessTree(running.pids)
        self._memory = PeakMemory(self._tree)

    def warm_up(self) -> None:
        """Send every image; keeps the ages as the reference for later answers."""
        repeats = math.ceil(WARM / len(self._order))
        run, _ = self._load(Once([*self._order] * repeats, self._under_way))
        for exchange in run.exchanges:
            found = ages(exchange)
            if found is not None:
                self.reference[exchange.image] = found
        self.result.faces = sum(map(len, self.reference.values()))

    def round(self, number: int, plan: Plan) -> None:
        """Saturation, one image at a time, half of saturation.

        The last two are with a part of the mix, in each round another, together half of it.
        """
        self._saturate(plan.seconds)

        part = self._order[number :: 2 * plan.rounds] or self._order
        run, _ = self._load(Closed(part, 1, plan.seconds / 2))
        self.result.alone += latencies(run)

        half = self.result.rates[-1] / 2
        count = math.ceil(half * plan.seconds / len(part)) * len(part)
        times = arrivals(count, count / half, plan.seed + number)
        run, _ = self._load(Open([(at, part[n % len(part)]) for n, at in enumerate(times)]))
        self.result.half += latencies(run)

    def _saturate(self, seconds: float) -> None:
        began, before, own = time.perf_counter(), self._tree.cpu_seconds(), time.process_time()
        busy = machine_cpu_seconds()
        run, generator = self._load(Closed(self._order, self._under_way, seconds))
        busy = machine_cpu_seconds() - busy
        system = self._tree.cpu_seconds() - before
        others = busy - system - generator - (time.process_time() - own)
        whole = CORES * (time.perf_counter() - began)
        self.result.others.append(max(0.0, others / whole))
        self.result.cpu.append(system / len(run.exchanges))
        self.result.generator_cpu.append(generator / len(run.exchanges))
        self.result.rates.append(rate(run))

    def _load(self, load: Closed | Once | Open) -> tuple[Run, float]:
        with self._memory:
            run, cpu = self._generator.run(load, self._place, self._folder)
        self.result.peak_memory = self._memory.bytes
        found = faults(run.exchanges, self.reference)
        if len(found) == len(run.exchanges):
            raise Broken(f"{self.result.system}, {self.result.mix}: {found[-1]}")
        self.result.faults += found
        return run, cpu


def measure(
    mix: Mix,
    folder: Path,
    systems: Mapping[str, Running],
    generator: Generator,
    plan: Plan,
    say: Callable[[str], None],
) -> list[Result]:
    """All rounds of all `systems` with `mix`, written to `folder`; `say` reports progress."""
    mix.write(folder)
    measured = {
        name: Measured(name, running, mix, folder, generator) for name, running in systems.items()
    }
    for one in measured.values():
        one.warm_up()
    for number in range(plan.rounds):
        for name, one in measured.items():
            one.round(number, plan)
            say(f"{mix.name}, round {number + 1}: {name} {one.result.rates[-1]:.1f} images/s")
    if OURS in measured and DIRECT in measured:
        years = largest_difference(measured[OURS].reference, measured[DIRECT].reference)
        say(f"{mix.name}: ages of {OURS} and of the {DIRECT} agree within {years:.2f} years")
        if years > AGREE:
            measured[OURS].result.faults.append(f"ages differ from the {DIRECT} by {years:.2f}")
    return [one.result for one in measured.values()]


def survey(mix: Mix, folder: Path, running: Running, generator: Generator) -> list[int]:
    """The number of faces that a system finds in each image of `mix`, written to `folder`."""
    mix.write(folder)
    one = Measured("survey", running, mix, folder, generator)
    one.warm_up()
    return [len(one.reference.get(number, ())) for number in range(len(mix.bodies))]
