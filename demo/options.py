"""The command line of the demo."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from face_age_client.address import REST_URL, Address

KEY: Final = "FACE_AGE_KEY"  # of a proxy, in the environment
_PORTS: Final = range(1, 65536)


@dataclass(frozen=True)
class Settings:
    """What the demo asks, and where its page is."""

    url: str  # of the service
    models: tuple[str, ...]  # the first is chosen when the page opens
    starts_service: bool  # if none answers at `url`
    host: str
    port: int | None  # None: the first free one from 7860 on
    certificates: Path | None
    key: str


def read(arguments: Sequence[str] | None = None, program: str | None = None) -> Settings:
    """Read the command line, or `arguments`, of `program`; exits with a line on a mistake."""
    # scripts/serve.sh listens there
    local = os.environ.get("TS_INFERENCE_ADDRESS", REST_URL)
    parser = argparse.ArgumentParser(
        prog=program,
        description="A page to try the service with photos, in a browser, until Ctrl-C.",
        epilog="Without --url it starts the service if none runs, and stops it at its end. "
        f"{KEY} holds the key for a proxy.",
    )
    parser.add_argument("--url", type=_url, help=f"ask this service (default: {local})")
    parser.add_argument(
        "--model-name",
        type=_model,
        nargs="+",
        default=["age"],
        metavar="NAME",
        help="of the service's models, to choose from in the page (default: age)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address of the page (default: 127.0.0.1; 0.0.0.0 lets everybody in the network in)",
    )
    parser.add_argument("--port", type=_port, help="of the page (default: 7860, or the next free)")
    parser.add_argument(
        "--certificates", type=Path, metavar="PEM", help="trust these, not the system's authorities"
    )
    parser.add_argument("--install", action="store_true", help="make the environment, and end")
    given = parser.parse_args(arguments)
    return Settings(
        url=given.url or local,
        models=tuple(dict.fromkeys(given.model_name)),
        starts_service=given.url is None,
        host=given.host,
        port=given.port,
        certificates=given.certificates,
        key=os.environ.get(KEY, ""),
    )


def _url(text: str) -> str:
    try:
        return Address.rest(text).url
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _model(text: str) -> str:
    if not text or not text.isprintable() or "=" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no model's name: give one such as age")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) not in _PORTS:
        raise argparse.ArgumentTypeError(f"{text} is no port: give 1 to 65535")
    return int(text)
