"""face-age: one command for all that a user does."""

import importlib
import runpy
import sys
from collections.abc import Mapping
from typing import Final

from train.extras import needed

USAGE: Final = "usage: face-age COMMAND ...; face-age COMMAND --help says more"
SERVING: Final[Mapping[str, tuple[str, str]]] = {
    "serve": ("server.serve", "serve what lies in model_store until Ctrl-C, or in the background"),
    "stop": ("server.stop", "end what serves in the background"),
    "ready": ("server.readiness", "tell whether every model answers a photograph"),
    "predict": ("commands.predict", "ask for the ages in photographs and folders"),
    "archive": ("server.archive", "pack a model into an archive"),
    "check": ("server.check_archive", "tell whether archives are as they were packed"),
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
    """Run the sub-command that the command line names."""
    commands = {**SERVING, **TRAINING}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name not in commands:
        print(f"error: {f'{name} is no command' if name else 'no command'}", file=sys.stderr)
        print(_help(), file=sys.stderr)
        return 2
    module, _ = commands[name]
    sys.argv = [f"face-age {name}", *sys.argv[2:]]
    with needed():
        if name in SERVING:
            code: int = importlib.import_module(module).main()
            return code
        # as `python -m` does: Lightning starts a process for each GPU as this one was started
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def _help() -> str:
    """All commands, a line for each."""
    lines = [USAGE]
    for title, commands in (("serving", SERVING), ("training, with the extra train", TRAINING)):
        lines += ["", f"{title}:"]
        lines += [f"  {name:<14} {meaning}" for name, (_, meaning) in commands.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
