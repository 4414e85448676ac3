"""The service that the demo asks: whether one runs, and starting one."""

import socket
import subprocess  # nosec B404
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from face_age_client.address import Address

SERVE: Final = Path(__file__).resolve().parent.parent / "scripts" / "serve.sh"
_PATIENCE: Final = 5.0  # seconds for a connection


def answers(url: str) -> bool:
    """Whether something listens at the address."""
    address = Address.rest(url)
    try:
        socket.create_connection((address.host, address.port), _PATIENCE).close()
    except OSError:
        return False
    return True


@contextmanager
def running(url: str, models: Sequence[str]) -> Iterator[None]:
    """A service, started, and stopped at the end, where none answers.

    Raises subprocess.CalledProcessError if it does not start; scripts/serve.sh has said why.
    """
    if answers(url):
        yield
        return
    print(f"no service answers at {url}: starting one", flush=True)
    archives = [f"{name}={name}.mar" for name in models]
    _serve("--background", "--models", *archives)
    try:
        yield
    finally:
        _serve("--stop")


def _serve(*words: str) -> None:
    subprocess.run([SERVE, *words], check=True)  # nosec B603  # no shell, names of models
