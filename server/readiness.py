"""Checks that the service is ready: each version of each model answers a probe image.

    face-age ready         exit 0 if it is, else 1 and the reason

The addresses come from config.properties and the TS_ variables that override it. Needs only the
standard library, so that health checks can run it everywhere.
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

from server.errors import CommandError
from server.output import exit_with, print_line

ROOT = Path(__file__).resolve().parent.parent
PROBE_IMAGE = Path(__file__).resolve().with_name("canned.jpg")
MAX_MODELS = 1000

# Calls to this machine must not go through the network's proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotReady(CommandError):
    """The service is not ready yet; the message says what is missing."""


class WrongAnswer(NotReady):
    """A worker is READY and answers wrongly: waiting does not help."""


@dataclass(frozen=True)
class Address:
    """The address of one of TorchServe's APIs, from this machine."""

    key: str  # in config.properties
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def fault(self, config: str) -> str | None:
        """Why the port cannot be bound, and what to do; `config` is the file's name."""
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

        Raises NotReady on a file that cannot be read or an invalid address.
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
    """Keys and values of a config.properties. Raises NotReady if it cannot be read."""
    try:
        lines = [line.strip() for line in config.read_text().splitlines()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise NotReady(f"{config} cannot be read: {reason}") from error
    pairs = (line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    return {key.strip(): value.strip() for key, value in pairs}


def _reachable(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host  # nosec B104  # nothing is bound here


@dataclass(frozen=True)
class Version:
    """One version of a model, by TorchServe's management API."""

    model: str
    version: str
    ready: int  # number of READY workers


def check(addresses: Addresses, timeout: float = 10) -> str:
    """Ask every version of every model; returns a line that sums it up.

    `timeout` holds for each call, in seconds. Raises NotReady with the reason.
    """
    versions = _versions(addresses.management, timeout)
    # at the same time: a health check has a time limit of its own
    with ThreadPoolExecutor(len(versions)) as pool:
        lines = list(pool.map(lambda one: probe(addresses.rest, one, timeout), versions))
    return f"ready: {'; '.join(lines)}"


def _versions(management: Address, timeout: float) -> list[Version]:
    """Raises NotReady if there is no model, or one without a READY worker."""
    listed = _ask(f"{management.url}/models?limit={MAX_MODELS}", timeout)["models"]
    if not listed:
        raise NotReady("TorchServe has no model")
    versions = []
    for name in dict.fromkeys(model["modelName"] for model in listed):
        for described in _ask(f"{management.url}/models/{name}/all", timeout):
            states = [worker["status"] for worker in described["workers"]]
            if "READY" not in states:
                raise NotReady(
                    f"no worker of {name} {described['modelVersion']} is READY: "
                    f"{', '.join(states) or 'there is none'}"
                )
            versions.append(Version(name, described["modelVersion"], states.count("READY")))
    return versions


def probe(rest: Address, version: Version, timeout: float) -> str:
    """Send the probe image to a version; returns its answer in words. Raises NotReady."""
    who = f"{version.model} {version.version}"
    url = f"{rest.url}/predictions/{version.model}/{version.version}"
    answer = _ask(url, timeout, PROBE_IMAGE.read_bytes())
    try:
        found = _found(answer, who)
        weights = answer.get("model", {}).get("weights", "unknown")  # a foreign handler's answer
    except (KeyError, TypeError, AttributeError) as error:
        raise WrongAnswer(
            f"{who}'s answer to the probe photo holds no list of faces, and nothing of the image"
        ) from error
    values = ", ".join(found)
    return f"{who}, weights {weights}, {version.ready} worker(s), probe photo: {values}"


def _found(answer: Any, who: str) -> list[str]:
    """What an answer says of the one face in the probe photo, and of the whole image.

    Raises WrongAnswer, or one of KeyError, TypeError and AttributeError if it says nothing.
    """
    faces = answer["faces"] if "image" not in answer else answer.get("faces")
    if faces is not None and len(faces) != 1:
        raise WrongAnswer(f"{who} found {len(faces)} faces in the probe photo, which shows one")
    regions = [*(faces or ()), *([answer["image"]] if "image" in answer else [])]
    found = [_attributes(region) for region in regions]
    if not found or not all(found):
        raise KeyError("attributes")
    return [words for attributes in found for words in attributes]


def _attributes(region: Mapping[str, Any]) -> list[str]:
    """The attributes of a face or an image in words: age 31.2, or emotion neutral 0.93."""
    words = []
    for name, value in region.items():
        if name.endswith("_probability") or name == "confidence" or type(value) is bool:
            continue
        if isinstance(value, str | int | float):
            probability = region.get(f"{name}_probability")
            how_sure = f" {probability:.2f}" if isinstance(probability, float) else ""
            words.append(f"{name} {value}{how_sure}")
    return words


def _ask(url: str, timeout: float, body: bytes | None = None) -> Any:
    # By default urllib sends the type form-encoded, which TorchServe fails to parse.
    headers = {"Content-Type": "image/jpeg"} if body else {}
    request = urllib.request.Request(url, body, headers, method="PUT" if body else "GET")
    try:
        with _opener.open(request, timeout=timeout) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            text = " ".join(error.read(500).decode(errors="replace").split())
        kind = WrongAnswer if body is not None and error.code != 503 else NotReady
        raise kind(f"{url} answered {error.code}: {text}") from error
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise NotReady(f"{url} does not answer: {reason}") from error
    except ValueError as error:
        raise WrongAnswer(f"{url} did not answer in JSON") from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Check that the service is ready.")
    parser.add_argument("--config", type=Path, default=ROOT / "config.properties")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for each call")
    arguments = parser.parse_args()
    try:
        print_line(check(Addresses.read(arguments.config, os.environ), arguments.timeout))
    except (NotReady, OSError) as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    exit_with(main())
