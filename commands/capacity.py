"""Computes machines, memory and money for a number of images a second, from a measured speed.

    face-age capacity --images-per-second 69.7 --cores 2 --memory 1.3
    face-age capacity --benchmark compare.json --machine-cores 16 --price 0.60 --currency EUR
    face-age capacity --benchmark gpu.json --gpus 1 --machine-gpus 4 --price 9.50 --currency EUR

The speed is that of a machine at saturation: a file of python -m bench.compare --json, or what
you measured. --price is an hour of one machine, from your provider's list; without it there is no
money. Nothing is asked of a network.

  speed of a machine  = measured images a second / measured units * its units * load
  machines            = images a second / speed of a machine, rounded up, + spare
  memory of a machine = measured memory / measured units * its units + 3 GB for Java's queue

A unit is a GPU, with its share of the cores, where --gpus is given, else a core. That twice as many
are twice as fast is assumed: measure the machine that you mean to take.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from commands.option_types import real, whole
from server.errors import CommandError, exit_code_of
from server.output import exit_with, print_line
from train.evaluation.tables import Table

SYSTEM: Final = "ours"  # of bench.compare
QUEUE: Final = 3.0  # GB: -Xmx of config.properties, full of waiting images
HOURS: Final = 730  # of a month
MIB: Final = 2**20


@dataclass(frozen=True)
class Measured:
    """A machine at saturation."""

    images: float  # a second
    units: int  # GPUs, or else cores
    memory: float | None  # GB of the service, without waiting images

    @classmethod
    def read(cls, file: Path, mix: str | None, gpus: int | None) -> Self:
        """From a file of bench.compare; `mix` None: its first. Raises CommandError."""
        try:
            content = json.loads(file.read_text())
            cores: int = content["machine"]["cores"]
            on_gpu = content["machine"]["gpu"] is not None
            found: dict[str, Any] = {
                each["mix"]: each for each in content["results"] if each["system"] == SYSTEM
            }
            chosen = found[mix or next(iter(found))]
            images, memory = chosen["images_per_second"], chosen["peak_memory_mib"]
        except (ValueError, TypeError, StopIteration) as error:
            raise CommandError(
                f"{file} is no file of python -m bench.compare --json with the system {SYSTEM}"
            ) from error
        except KeyError as error:
            raise CommandError(
                f"{file} has no {error.args[0]}: give a file of python -m bench.compare --json, "
                "and one of its mixes"
            ) from error
        if on_gpu and gpus is None:
            raise CommandError(f"{file} was measured on GPUs: say on how many by --gpus")
        return cls(float(images), gpus or cores, memory * MIB / 1e9)


@dataclass(frozen=True)
class Machine:
    """What is bought, and how it is used."""

    units: int  # GPUs, or else cores
    load: float  # part of saturation, 0 to 1
    spare: int  # machines that may be away
    price: float | None  # of an hour


@dataclass(frozen=True)
class Plan:
    """What so many images a second take."""

    images: float  # a second
    machines: int
    units: int  # of all machines
    memory: float | None  # GB of each machine
    per_hour: float | None

    @property
    def per_month(self) -> float | None:
        return None if self.per_hour is None else self.per_hour * HOURS

    @property
    def per_million(self) -> float | None:
        """Of a million images, at this rate all the time."""
        return None if self.per_hour is None else self.per_hour / (3600 * self.images) * 1e6


def plan(images: float, measured: Measured, machine: Machine) -> Plan:
    """The plan for `images` a second; the module's docstring has the formula."""
    speed = measured.images / measured.units * machine.units * machine.load
    machines = math.ceil(round(images / speed, 9)) + machine.spare
    memory = None
    if measured.memory is not None:
        memory = measured.memory / measured.units * machine.units + QUEUE
    price = None if machine.price is None else machine.price * machines
    return Plan(images, machines, machines * machine.units, memory, price)


def table(plans: Sequence[Plan], unit: str, currency: str) -> Table:
    """A row for each plan; without memory or prices there are no columns of them."""
    columns = {
        "images/s": [f"{each.images:,.0f}" for each in plans],
        "machines": [f"{each.machines:,}" for each in plans],
        unit: [f"{each.units:,}" for each in plans],
    }
    if all(each.memory is not None for each in plans):
        columns["GB of memory, each"] = [f"{each.memory:,.1f}" for each in plans]
    if all(each.per_hour is not None for each in plans):
        columns[f"{currency} an hour"] = [f"{each.per_hour:,.2f}" for each in plans]
        columns[f"{currency} a month"] = [f"{each.per_month:,.0f}" for each in plans]
        columns[f"{currency} for a million images"] = [f"{each.per_million:,.2f}" for each in plans]
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)))


def _arguments() -> argparse.Namespace:
    what, _, rules = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=what, epilog=rules, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    speed = parser.add_mutually_exclusive_group(required=True)
    speed.add_argument(
        "--benchmark", type=Path, metavar="FILE", help="of python -m bench.compare --json FILE"
    )
    speed.add_argument(
        "--images-per-second", type=real(0, above=True), metavar="N", help="at saturation"
    )
    parser.add_argument("--mix", help="of the benchmark (default: its first)")
    parser.add_argument("--cores", type=whole(1), metavar="N", help="of the measured machine")
    parser.add_argument("--gpus", type=whole(1), metavar="N", help="of the measured machine")
    parser.add_argument(
        "--memory", type=real(0, above=True), metavar="GB", help="of the service then"
    )
    parser.add_argument(
        "--machine-cores", type=whole(1), metavar="N", help="of a machine (default: as measured)"
    )
    parser.add_argument(
        "--machine-gpus", type=whole(1), metavar="N", help="of a machine (default: as measured)"
    )
    parser.add_argument(
        "--load", type=real(0.01, 1), default=0.5, help="part of saturation (default: 0.5)"
    )
    parser.add_argument(
        "--spare", type=whole(0), default=1, help="machines that may be away (default: 1)"
    )
    parser.add_argument("--price", type=real(0), help="of an hour of a machine")
    parser.add_argument("--currency", default="", help="of the price")
    parser.add_argument(
        "--rates",
        type=real(0, above=True),
        nargs="+",
        default=[10, 1000, 100_000],
        metavar="N",
        help="images a second (default: 10 1000 100000)",
    )
    options = parser.parse_args()
    if options.images_per_second and not (options.cores or options.gpus):
        parser.error("--images-per-second needs --cores or --gpus of the machine that was measured")
    if options.benchmark and options.cores:
        parser.error("--benchmark says how many cores there were: leave --cores out")
    if options.gpus and options.machine_cores:
        parser.error("with --gpus a machine is counted in GPUs: --machine-gpus")
    if options.machine_gpus and not options.gpus:
        parser.error("--machine-gpus needs --gpus of the machine that was measured")
    if options.mix and not options.benchmark:
        parser.error("--mix is one of a --benchmark")
    if (options.price is None) != (not options.currency):
        parser.error("--price and --currency belong together")
    return options


def run(options: argparse.Namespace) -> int:
    if options.benchmark:
        measured = Measured.read(options.benchmark, options.mix, options.gpus)
    else:
        units = options.gpus or options.cores
        measured = Measured(options.images_per_second, units, options.memory)
    unit = "GPUs" if options.gpus else "cores"
    machine = Machine(
        options.machine_gpus or options.machine_cores or measured.units,
        options.load,
        options.spare,
        options.price,
    )
    plans = [plan(rate, measured, machine) for rate in options.rates]
    print_line(
        f"measured: {measured.images:g} images/s at saturation on {measured.units} {unit}; a "
        f"machine: {machine.units} {unit}, used at {machine.load:.0%}; {machine.spare} spare"
    )
    print_line(table(plans, unit, options.currency).text())
    return 0


def main() -> int:
    options = _arguments()
    return exit_code_of(lambda: run(options))


if __name__ == "__main__":
    exit_with(main())
