"""The command `face-age`, which runs all sub-commands."""

import importlib
import runpy
import sys
from collections.abc import Mapping
from typing import Final

from server.output import close_stdout
from train.extras import missing_package

USAGE: Final = "usage: face-age COMMAND ...; see face-age COMMAND --help"
SERVING: Final[Mapping[str, tuple[str, str, str]]] = {
    "serve": ("server.cli", "main", "serve the archive in model_store, until Ctrl-C"),
    "stop": ("server.cli", "stop", "stop the service in the background"),
    "ready": ("server.readiness", "main", "check that every model answers a photo"),
    "predict": (
        "commands.predict",
        "main",
        "predict ages, or other attributes, in photos and folders",
    ),
    "batch": ("commands.batch", "main", "predict them in a million photos, without a service"),
    "demo": ("commands.demo", "main", "try the service in a browser"),
    "capacity": ("commands.capacity", "main", "compute machines and money for images a second"),
    "drift": ("commands.drift", "main", "draw how far what is sent has drifted, from Prometheus"),
    "archive": ("server.archive", "main", "pack a model into an archive"),
    "rollout": ("server.rollout.command", "main", "bring a new version into a running service"),
    "check": ("server.check_archive", "main", "check that archives are as they were packed"),
}
TRAINING: Final[Mapping[str, tuple[str, str]]] = {
    "prepare": ("train.prepare", "detect and crop the faces of labelled photos"),
    "fit": ("train.fit", "train a model on the crops"),
    "evaluate": ("train.evaluate", "evaluate a run, or an exported file, on test faces"),
    "export": ("train.export", "write a run's model, its card and metrics"),
    "duplicates": ("train.duplicates", "list near-duplicates across splits"),
    "same-person": ("train.same_person", "estimate how many people are in two splits"),
    "contact-sheet": ("train.contact_sheet", "show augmented training crops"),
    "variants": ("train.variants", "compare smaller and faster models"),
    "baselines": ("train.baselines", "compare with classifiers of frozen features"),
}
# Called like those of serving: they have options, no configuration, and train nothing.
FILES: Final[Mapping[str, tuple[str, str, str]]] = {
    "torchscript": ("train.torchscript", "main", "build age.pt from age.safetensors"),
    "reference": ("train.reference", "main", "write into a model what its images look like"),
    "imagenet": ("train.imagenet", "main", "download weights trained on ImageNet"),
    "faceres": ("train.faceres", "main", "download the teacher faceres"),
}
CALLED: Final = {**SERVING, **FILES}


def main() -> int:
    """Run the sub-command of the command line; returns its exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in CALLED or name in TRAINING:
        asks_for_help = not {"-h", "--help"}.isdisjoint(sys.argv)
        sys.argv = [f"face-age {name}", *sys.argv[2:]]
        try:
            return _run(name)
        except ModuleNotFoundError as error:
            line = missing_package(error.name or "")
            if line is None:
                raise
            if not asks_for_help:
                sys.exit(line)
            meaning = CALLED[name][2] if name in CALLED else TRAINING[name][1]
            print(f"usage: face-age {name} ...\n\n{meaning}\n\n{line.removeprefix('error: ')}")
            return 0
    if name in ("-h", "--help"):
        print(_help())
        return 0
    print(f"error: {f'{name} is no command' if name else 'no command'}", file=sys.stderr)
    print(_help(), file=sys.stderr)
    return 2


def _run(name: str) -> int:
    if name in TRAINING:
        # like `python -m`: Lightning restarts the same command for each GPU
        runpy.run_module(TRAINING[name][0], run_name="__main__", alter_sys=True)
        return 0
    module, function, _ = CALLED[name]
    code: int = getattr(importlib.import_module(module), function)()
    close_stdout()
    return code


def _help() -> str:
    """One line for each command."""
    lines = [USAGE, "", "serving:"]
    lines += [f"  {name:<14} {meaning}" for name, (*_, meaning) in SERVING.items()]
    lines += ["", "training (needs the extra `train`):"]
    lines += [f"  {name:<14} {meaning}" for name, (_, meaning) in TRAINING.items()]
    lines += ["", "files that training and serving begin from:"]
    lines += [f"  {name:<14} {meaning}" for name, (*_, meaning) in FILES.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
