"""Compares the service with baselines on the same images and weights.

    python -m bench.compare --photos FOLDER --json compare.json

Five systems, each with the same processes and threads: the service; facenet-pytorch's MTCNN in a
TorchServe handler, with its own settings and with ours; the same behind FastAPI; and our pipeline
called directly, in batches of waiting images. Three mixes: an image of 512 pixels with one face,
the images of FOLDER, and the largest of them scaled to 12 megapixels. Each round measures every
system in turn: at saturation (closed loop, all processes busy), with one image at a time, and at
half of its saturation rate (open loop).

Run it on an otherwise idle machine. Exits with 1 if a request failed or an answer changed. Needs
the extra `compare` and model_store/age.pt, which scripts/serve.sh makes.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import signal
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Final

from bench.comparison import workloads
from bench.comparison.generator import Generator
from bench.comparison.report import Result, conditions, tables
from bench.comparison.rounds import Broken, Plan, measure, survey
from bench.comparison.systems import SYSTEMS, Running, Share
from bench.torchserve import StartError
from commands.option_types import real, whole
from handler.cores import cores
from server.errors import ArchiveError
from server.sizing import sizing

ROOT = Path(__file__).resolve().parent.parent

PORTRAIT: Final = ROOT / "server" / "canned.jpg"
MIXES: Final = ("portrait", "photos", "large")
NEEDED: Final = ("fastapi", "uvicorn", "uvloop", "httptools", "psutil")


class Ended(BaseException):
    """A signal asked for the end."""


def compare(options: argparse.Namespace) -> list[Result]:
    """Start every system, measure it with every mix, end it."""
    share = Share(options.model.resolve(), options.workers, options.threads)
    plan = Plan(options.rounds, options.seconds, options.seed)
    results: list[Result] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-")))
        try:
            generator = stack.enter_context(Generator())
            found = _mixes(options, share, folder, generator)
            running: dict[str, Running] = {}
            for key in options.systems:
                (folder / key).mkdir()
                system = SYSTEMS[key]
                running[system.title] = stack.enter_context(system.start(share, folder / key))
                say(f"started: {system.title}")
            for mix in found:
                results += measure(mix, folder / mix.name, running, generator, plan, say)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must leave nothing behind
    return results


def _mixes(
    options: argparse.Namespace, share: Share, folder: Path, generator: Generator
) -> list[workloads.Mix]:
    found = []
    if "portrait" in options.mixes:
        found.append(workloads.portrait(PORTRAIT))
    if options.photos:
        images = workloads.folder(options.photos, options.seed)
        if "photos" in options.mixes:
            found.append(images)
        if "large" in options.mixes:
            say("looking for images of few faces")
            (folder / "finder").mkdir()
            with SYSTEMS["direct"].start(share, folder / "finder") as finder:
                faces = survey(images, folder / "survey", finder, generator)
            found.append(workloads.large(images, faces))
    return found


def say(line: str) -> None:
    """Progress, beside the tables."""
    print(line, file=sys.stderr, flush=True)


def _machine() -> dict[str, Any]:
    """The machine and packages of the measurement."""
    import torch  # not by the load generator, which imports this file too

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "packages": {
            name: version(name)
            for name in ("torch", "facenet-pytorch", "Pillow", "torchserve", "fastapi", "uvicorn")
        },
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Compare the service with baselines.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # As the service is shipped: workers on each GPU with their share of the cores, or one a core.
    on_gpus = sizing(1).workers
    workers, threads = on_gpus or cores(), max(1, cores() // on_gpus) if on_gpus else 1
    parser.add_argument("--photos", type=Path, help="folder; without it only the portrait is sent")
    parser.add_argument("--mixes", nargs="+", choices=MIXES, default=MIXES)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--workers", type=whole(1), default=workers, help="processes of each")
    parser.add_argument("--threads", type=whole(1), default=threads, help="of each of these")
    parser.add_argument("--rounds", type=whole(1), default=3)
    parser.add_argument(
        "--seconds", type=real(0, above=True), default=4, help="of a measurement, at least"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the images' order and times")
    parser.add_argument("--model", type=Path, default=ROOT / "model_store" / "age.pt")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    if not options.photos and "portrait" not in options.mixes:
        parser.error(f"--mixes {' '.join(options.mixes)} needs --photos")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: there is no folder {options.json.parent}")
    return options


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Ended


def main() -> int:
    options = _options()
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        say(f"error: {', '.join(missing)} not installed: pip install -e ./client -e '.[compare]'")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        results = compare(options)
    except Ended:
        say("stopped")
        return 130
    except (ArchiveError, StartError, Broken, ValueError) as error:
        say(f"error: {error}")
        return 1
    summaries = [result.summary() for result in results]
    print(tables(summaries), *conditions(summaries), sep="\n\n")
    if options.json:
        settings = {key: str(value) for key, value in vars(options).items()}
        content = {"machine": _machine(), "options": settings, "results": summaries}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    faults = [f"{r.system}, {r.mix}: {fault}" for r in results for fault in r.faults]
    for fault in faults[:20]:
        say(fault)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
