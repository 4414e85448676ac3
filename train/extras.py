"""What a command lacks that one of this project's extras brings, told in one line."""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final

# Import names; a package that several extras bring stands under the smallest of them.
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("face_age_client", "aiohttp", "grpc", "google", "tqdm"),
    "train": ("lightning", "hydra", "omegaconf", "tensorboard", "matplotlib"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "prune": ("torch_pruning",),
    "load": ("locust", "gevent", "psutil"),
    "compare": ("fastapi", "uvicorn", "uvloop", "httptools"),
    "fuzz": ("atheris",),
    "dev": ("skimage", "cyclonedx", "cyclonedx_py", "bandit", "pip_audit", "grpc_tools"),
}

# which bring face_age_client, a distribution in a folder of its own
_WITH_CLIENT: Final = ("client", "compare", "dev", "load")


def installing(extra: str) -> str:
    """The command that installs an extra."""
    client = "-e ./client " if extra in _WITH_CLIENT else ""
    return f"pip install {client}-e '.[{extra}]'"


def lack(name: str) -> str | None:
    """The line for a module that is not there; None where no extra brings it."""
    package = name.partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return f"error: {package} is not installed: {installing(extra)}"
    return None


@contextmanager
def needed() -> Iterator[None]:
    """For imports at the top of a command: what they lack is a line instead of a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        line = lack(error.name or "")
        if line is None:
            raise
        sys.exit(line)


def require(name: str) -> None:
    """Exit with the line where a package is not there that another process will import."""
    if importlib.util.find_spec(name) is None:
        sys.exit(lack(name))


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`needed` for a whole command, as `sys.excepthook`."""
    line = lack(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(line, file=sys.stderr)


def explain_what_lacks() -> None:
    """`needed` for every `python -m` command of a package that calls this as it is imported."""
    if sys.argv[:1] == ["-m"]:  # so it is while Python looks for the module
        sys.excepthook = explain
