"""Checks and measures all that runs on a GPU: in minutes, without a network.

    python -m bench.gpu_check --output gpu                        every part
    python -m bench.gpu_check --output gpu agreement --photos FOLDER
    python -m bench.gpu_check --list

Each part is a process of its own with a time limit, so that one that fails or hangs costs itself
alone. Its figures are in OUTPUT/PART.json and its output in OUTPUT/PART.log as soon as it ends.
Exits with 1 if a part failed. `service` and `workers` need TorchServe, Java and the extra
`compare`; the others need what training needs and `pytest`.
"""

import argparse
import json
import subprocess  # nosec B404
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree  # nosec B405  # of pytest's own report

from handler.cores import cores
from server.ensure_archives import ensure_model

ROOT: Final = Path(__file__).resolve().parent.parent
MODEL: Final = ROOT / "model_store" / "age.pt"
GPU_TESTS: Final = ("tests/integration/handler", "tests/integration/train/test_gpu.py")
WORKERS: Final = (1, 2, 4, 8)
Command = list[str]


@dataclass(frozen=True)
class Part:
    """A command, its time limit and what it does."""

    meaning: str
    limit: float  # seconds
    commands: Callable[[Path, Sequence[str]], Mapping[str, Command]]  # by the figures' names


def _module(name: str, *words: str) -> Command:
    return [sys.executable, "-m", name, *words]


def _in_process(name: str) -> Callable[[Path, Sequence[str]], Mapping[str, Command]]:
    def commands(output: Path, words: Sequence[str]) -> Mapping[str, Command]:
        file = str(output / f"{name}.json")
        return {name: _module("bench.gpu_parts", name, "--json", file, *words)}

    return commands


def _tests(output: Path, _words: Sequence[str]) -> Mapping[str, Command]:
    words = ("-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junit-xml={output / 'tests.xml'}")
    return {"tests": _module("pytest", *words, *GPU_TESTS)}


def _compare(output: Path, name: str, *words: str) -> Command:
    fixed = ("--mixes", "portrait", "--rounds", "1", "--seconds", "3")
    return _module("bench.compare", *fixed, *words, "--json", str(output / f"{name}.json"))


def _service(output: Path, _words: Sequence[str]) -> Mapping[str, Command]:
    return {"service": _compare(output, "service", "--systems", "ours", "torchserve", "direct")}


def _workers(output: Path, _words: Sequence[str]) -> Mapping[str, Command]:
    names = {count: f"workers-{count}" for count in WORKERS}
    return {
        name: _compare(
            *(output, name, "--systems", "ours", "--workers", f"{count}"),
            *("--threads", f"{max(1, cores() // count)}"),
        )
        for count, name in names.items()
    }


PARTS: Final[Mapping[str, Part]] = {
    "machine": Part("the machine and its packages", 20, _in_process("machine")),
    "tests": Part("pytest -m gpu", 120, _tests),
    "agreement": Part("faces and ages beside the CPU's", 75, _in_process("agreement")),
    "launches": Part("launches and waits of a batch", 40, _in_process("launches")),
    "stages": Part("time of each stage by decoder and batch", 90, _in_process("stages")),
    "graphs": Part("the model's call with and without graphs", 40, _in_process("graphs")),
    "training": Part("images a second of train.fit", 60, _in_process("training")),
    "service": Part("TorchServe beside the naive handler", 90, _service),
    "workers": Part("TorchServe with 1, 2, 4 and 8 workers", 60, _workers),
}


def run(name: str, output: Path, words: Sequence[str]) -> bool:
    """Run a part's commands; returns whether all have left figures and no error."""
    succeeded = True
    for figures, command in PARTS[name].commands(output, words).items():
        start = time.monotonic()
        with (output / f"{figures}.log").open("w") as log:
            try:
                done = subprocess.run(  # nosec B603  # no shell, no user input
                    command,
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=PARTS[name].limit,
                    check=False,
                ).returncode
                outcome = "done" if done == 0 else f"failed with {done}"
            except subprocess.TimeoutExpired:
                outcome = f"ended after {PARTS[name].limit:.0f} s"
        if name == "tests":
            _summarize(output)
        file = output / f"{figures}.json"
        succeeded &= outcome == "done" and file.is_file()
        print(f"{figures:<12}{time.monotonic() - start:6.1f} s  {outcome}: {file}", flush=True)
    return succeeded


def _summarize(output: Path) -> None:
    """pytest's report as JSON, with the names of the tests that failed."""
    report = output / "tests.xml"
    if not report.is_file():
        return
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # nosec B314
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    counts = {"tests": len(cases), "skipped": skipped, "failed": failed}
    (output / "tests.json").write_text(json.dumps(counts, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Check and measure the project on a GPU.")
    parser.add_argument("parts", nargs="*", metavar="PART", help="by default every part")
    parser.add_argument("--output", type=Path, default=Path("gpu"), help="folder of the figures")
    parser.add_argument("--photos", type=Path, help="folder of images for `agreement`")
    parser.add_argument("--list", action="store_true", help="print the parts and end")
    given = parser.parse_args()
    if given.list:
        for name, part in PARTS.items():
            print(f"{name:<12}{part.meaning}, at most {part.limit:.0f} s a command")
        return 0
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    output = given.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    ensure_model(MODEL)
    words = ["--photos", str(given.photos.resolve())] if given.photos else []
    results = [
        run(name, output, words if name == "agreement" else ()) for name in given.parts or PARTS
    ]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
