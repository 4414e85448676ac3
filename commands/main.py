"""face-age: one command for all that a user does."""

import importlib
import runpy
import sys
from collections.abc import Mapping
from typing import Final

from server.console import close_output
from train.extras import missing_package

USAGE: Final = "usage: face-age COMMAND ...; face-age COMMAND --help says more"
SERVING: Final[Mapping[str, tuple[str, str, str]]] = {
    "serve": ("server.serve", "main", "serve what lies in model_store, until Ctrl-C"),
    "stop": ("server.serve", "stop", "end what serves in the background"),
    "ready": ("server.readiness", "main", "tell whether every model answers a photograph"),
    "predict": ("commands.predict", "main", "ask for the ages in photographs and folders"),
    "archive": ("server.archive", "main", "pack a model into an archive"),
    "check": ("server.check_archive", "main", "tell whether archives are as they were packed"),
}
TRAINING: Final[Mapping[str, tuple[str, str]]] = {
    "prepare": ("train.prepare", "find and crop the faces of labelled pictures"),
    "fit": ("train.fit", "train a model on the crops"),
    "evaluate": ("train.evaluate", "measure a run, or an exported file, on test faces"),
    "export": ("train.export", "write a run's model, its card and figures"),
    "prior": ("train.prior", "fit how common young ages are"),
    "duplicates": ("train.duplicates", "list near copies across splits"),
    "same-person": ("train.same_person", "tell about how many people are in two splits"),
    "contact-sheet": ("train.contact_sheet", "show crops as they are trained on"),
    "variants": ("train.variants", "measure smaller and faster models beside one"),
    "torchscript": ("train.torchscript", "build age.pt from age.safetensors"),
    "imagenet": ("train.imagenet", "fetch weights trained on ImageNet"),
    "faceres": ("train.faceres", "fetch a teacher that has seen many faces"),
}


def main() -> int:
    """Run the sub-command that the command line names, and give its exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in SERVING or name in TRAINING:
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
            meaning = SERVING[name][2] if name in SERVING else TRAINING[name][1]
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
        # as `python -m` does: Lightning starts a process for each GPU as this one was started
        runpy.run_module(TRAINING[name][0], run_name="__main__", alter_sys=True)
        return 0
    module, function, _ = SERVING[name]
    code: int = getattr(importlib.import_module(module), function)()
    close_output()
    return code


def _help() -> str:
    """All commands, a line for each."""
    lines = [USAGE, "", "serving:"]
    lines += [f"  {name:<14} {meaning}" for name, (*_, meaning) in SERVING.items()]
    lines += ["", "training, with the extra train:"]
    lines += [f"  {name:<14} {meaning}" for name, (_, meaning) in TRAINING.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
