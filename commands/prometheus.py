"""Asks a Prometheus for the values of a query, by its HTTP API."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.errors import CommandError

TIMEOUT: Final = 60.0  # seconds for an answer
_EXAMPLE: Final = "give Prometheus' address, such as http://127.0.0.1:9090"


@dataclass(frozen=True)
class Series:
    """The values of one set of labels over time."""

    labels: Mapping[str, str]
    times: tuple[float, ...]  # seconds since 1970, rising
    values: tuple[float, ...]


@dataclass(frozen=True)
class Prometheus:
    """One at an address, a path of its own included. All methods raise CommandError."""

    url: str

    def over(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """The series of a query from `start` to `end`, seconds since 1970, each `step` seconds."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return [
            _series(each["metric"], each["values"])
            for each in self._result("query_range", query=query, **times)
        ]

    def at(self, query: str, time: float) -> list[Series]:
        """The series of a query, each with its value at a time."""
        found = self._result("query", query=query, time=f"{time:.3f}")
        return [_series(each["metric"], [each["value"]]) for each in found]

    def _result(self, path: str, **words: str) -> Any:
        address = f"{self.url.rstrip('/')}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:  # nosec B310  # http(s)
                content = json.load(answer)
            return content["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                said = _reason(error.read())
            raise CommandError(f"{self.url} answered {error.code}{said}: {_EXAMPLE}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            reason = getattr(reason, "strerror", None) or reason
            raise CommandError(f"{self.url} does not answer ({reason}): {_EXAMPLE}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise CommandError(f"{self.url} is no Prometheus: {_EXAMPLE}") from error


def _series(labels: Mapping[str, str], points: list[tuple[float, str]]) -> Series:
    times, values = zip(*points, strict=True)
    return Series(labels, tuple(map(float, times)), tuple(map(float, values)))


def _reason(body: bytes) -> str:
    """What Prometheus said was wrong, in one line; nothing of another server."""
    try:
        return " ".join(f" ({json.loads(body)['error']})".split("\n"))
    except (ValueError, TypeError, KeyError):
        return ""
