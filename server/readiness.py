"""Tells whether the service is ready: each version of each model answers a canned photograph.

    face-age ready         exit 0 when it is, 1 and the reason when it is not

The addresses are those of config.properties and of the TS_ variables that override it. Needs
nothing but the standard library, so that health checks can run it everywhere.
"""

import argparse
import json
import os
import re
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from server.console import close_output, say

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = Path(__file__).resolve().with_name("canned.jpg")
AT_MOST = 1000  # models that are asked

# A proxy of the surrounding network must not see calls to this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotReady(Exception):
    """The service is not ready yet; the message says what is missing."""


class Broken(NotReady):
    """A worker is READY and gives a wrong answer: waiting does not help."""


@dataclass(frozen=True)
class Address:
    """Where one of TorchServe's APIs is asked from this machine."""

    key: str  # of config.properties, to change the port
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def fault(self, config: str) -> str | None:
        """Why nothing can listen there, and what to do about it; `config`: the file's name."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                other = str(self.port + 10)
                value = f"http://{self.host}:{other}" if self.key.endswith("address") else other
                return (
                    f"port {self.port} of {self.host} cannot be used ({error.strerror}): end what "
                    f"holds it, or choose another by {self.key} in {config} or in the environment: "
                    f"TS_{self.key.upper()}={value}"
                )
        return None


@dataclass(frozen=True)
class Addresses:
    """Every port that TorchServe opens."""

    rest: Address
    management: Address
    metrics: Address
    grpc: Address
    grpc_management: Address

    @classmethod
    def read(cls, config: Path, environ: Mapping[str, str]) -> Self:
        """From a config.properties and the TS_ variables that override it.

        Raises NotReady on a file that cannot be read or an address that is none.
        """
        properties = read_properties(config)

        def value(key: str, default: str) -> str:
            return environ.get(f"TS_{key.upper()}") or properties.get(key, default)

        def http(key: str, port: int) -> Address:
            address = value(key, f"http://127.0.0.1:{port}")
            found = re.fullmatch(r"http://([^:/]+)(?::(\d+))?/?", address)
            if not found:
                raise NotReady(f"{key} is {address}, not of the form http://127.0.0.1:{port}")
            return Address(key, _reachable(found[1]), int(found[2] or 80))

        def grpc(api: str, port: int) -> Address:
            host = value(f"grpc_{api}_address", "127.0.0.1")
            key = f"grpc_{api}_port"
            number = value(key, str(port))
            if not number.isdecimal():
                raise NotReady(f"{key} is {number}, not a number such as {port}")
            return Address(key, _reachable(host), int(number))

        return cls(
            rest=http("inference_address", 8080),
            management=http("management_address", 8081),
            metrics=http("metrics_address", 8082),
            grpc=grpc("inference", 7070),
            grpc_management=grpc("management", 7071),
        )


def read_properties(config: Path) -> dict[str, str]:
    """What a config.properties says; raises NotReady on a file that cannot be read."""
    try:
        lines = [line.strip() for line in config.read_text().splitlines()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise NotReady(f"{config} cannot be read: {reason}") from error
    pairs = (line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    return {key.strip(): value.strip() for key, value in pairs}


def _reachable(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host  # nosec B104  # nothing listens there


@dataclass(frozen=True)
class Version:
    """One version of a model, as TorchServe tells of it."""

    model: str
    version: str
    ready: int  # workers


def check(addresses: Addresses, timeout: float = 10) -> str:
    """One line that says what was seen; raises NotReady with the reason.

    Asks every version of every model that TorchServe has. `timeout` in seconds holds for each call.
    """
    versions = _versions(addresses.management, timeout)
    # together: they are no burden to each other, and a health check has its own limit
    with ThreadPoolExecutor(len(versions)) as pool:
        seen = list(pool.map(lambda one: _answered(addresses.rest, one, timeout), versions))
    return f"ready: {'; '.join(seen)}"


def _versions(management: Address, timeout: float) -> list[Version]:
    """Raises NotReady where there is none, or one without a worker that is READY."""
    listed = _ask(f"{management.url}/models?limit={AT_MOST}", timeout)["models"]
    if not listed:
        raise NotReady("TorchServe has no model")
    versions = []
    for name in dict.fromkeys(model["modelName"] for model in listed):
        for told in _ask(f"{management.url}/models/{name}/all", timeout):
            states = [worker["status"] for worker in told["workers"]]
            if "READY" not in states:
                raise NotReady(
                    f"no worker of {name} {told['modelVersion']} is READY: "
                    f"{', '.join(states) or 'there is none'}"
                )
            versions.append(Version(name, told["modelVersion"], states.count("READY")))
    return versions


def _answered(rest: Address, one: Version, timeout: float) -> str:
    """What a version says of the canned photograph, in words; raises NotReady."""
    who = f"{one.model} {one.version}"
    url = f"{rest.url}/predictions/{one.model}/{one.version}"
    answer = _ask(url, timeout, PHOTOGRAPH.read_bytes())
    try:
        ages = [face["age"] for face in answer["faces"]]
        weights = answer.get("model", {}).get("weights", "unknown")  # of another's handler
    except (KeyError, TypeError, AttributeError) as error:
        raise Broken(f"{who}'s answer to the canned photograph holds no list of faces") from error
    if len(ages) != 1:
        raise Broken(f"{who} answered the canned photograph's one face with {len(ages)}")
    return (
        f"{who}, weights {weights}, {one.ready} worker(s), the canned photograph's age is {ages[0]}"
    )


def _ask(url: str, timeout: float, body: bytes | None = None) -> Any:
    # Without a type urllib says form-encoded, which TorchServe then fails to parse.
    headers = {"Content-Type": "image/jpeg"} if body else {}
    request = urllib.request.Request(url, body, headers, method="PUT" if body else "GET")
    try:
        with _opener.open(request, timeout=timeout) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            text = " ".join(error.read(500).decode(errors="replace").split())
        kind = Broken if body is not None and error.code != 503 else NotReady
        raise kind(f"{url} answered {error.code}: {text}") from error
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise NotReady(f"{url} does not answer: {reason}") from error
    except ValueError as error:
        raise Broken(f"{url} did not answer in JSON") from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Tell whether the service is ready.")
    parser.add_argument("--config", type=Path, default=ROOT / "config.properties")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for each call")
    arguments = parser.parse_args()
    try:
        say(check(Addresses.read(arguments.config, os.environ), arguments.timeout))
    except (NotReady, OSError) as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    close_output()
    sys.exit(code)
