"""Missing packages: one line that names the extra to install, instead of a traceback."""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final

# Import names; a package of several extras is listed under the smallest one.
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("face_age_client", "aiohttp", "grpc", "google", "tqdm"),
    "batch": ("pyarrow",),
    "ray": ("ray",),
    "train": ("lightning", "hydra", "omegaconf", "tensorboard", "matplotlib"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "prune": ("torch_pruning",),
    "baselines": ("sklearn",),
    "load": ("locust", "gevent", "psutil"),
    "compare": ("fastapi", "uvicorn", "uvloop", "httptools"),
    "fuzz": ("atheris",),
    "dev": (
        *("skimage", "cyclonedx", "cyclonedx_py", "bandit", "pip_audit", "grpc_tools"),
        *("nbclient", "playwright"),
    ),
}

# Extras that need face_age_client, a distribution of its own in client/
_WITH_CLIENT: Final = ("client", "compare", "dev", "load")


def install_command(extra: str) -> str:
    """The shell command that installs an extra."""
    client = "-e ./client " if extra in _WITH_CLIENT else ""
    return f"pip install {client}-e '.[{extra}]'"


def missing_package(name: str) -> str | None:
    """The error line for a missing module; None if no extra installs it."""
    package = name.partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return f"error: {package} is not installed: {install_command(extra)}"
    return None


@contextmanager
def exit_if_missing() -> Iterator[None]:
    """Around imports: exit with the error line if a package of an extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        line = missing_package(error.name or "")
        if line is None:
            raise
        sys.exit(line)


def require(name: str) -> None:
    """Exit with the error line if a package is missing that another process will import."""
    if importlib.util.find_spec(name) is None:
        sys.exit(missing_package(name))


def excepthook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """`sys.excepthook` that prints the error line for missing packages of extras."""
    line = missing_package(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(line, file=sys.stderr)


def install_excepthook() -> None:
    """Install `excepthook` for `python -m` commands; called by a package's `__init__`."""
    if sys.argv[:1] == ["-m"]:  # its value while Python locates the module
        sys.excepthook = excepthook
