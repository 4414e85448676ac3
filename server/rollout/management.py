"""TorchServe's management of versions, and what its metrics count of them."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.errors import CommandError
from server.readiness import Addresses

READ_TIMEOUT: Final = 10.0  # seconds
START_TIMEOUT: Final = 300.0  # seconds for workers to start
_NOT_FOUND, _NOT_ALLOWED, _CONFLICT = 404, 405, 409
_LINE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
# Calls to this machine must not go through the network's proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Refused(CommandError):
    """TorchServe answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"TorchServe answered {code}: {message}")
        self.code = code


class Unreachable(CommandError):
    """TorchServe does not answer."""


@dataclass(frozen=True)
class VersionStatus:
    """A registered version, by TorchServe."""

    version: str
    archive: str  # a file's name in TorchServe's model store
    workers: int  # that it should have
    ready: int  # of them, READY
    batch_size: int
    waiting: int  # requests in its queue
    response_timeout: float  # seconds after which a batch is given up


@dataclass(frozen=True)
class Counts:
    """What TorchServe's metrics have counted of a version since its start."""

    requests: float  # that named the version
    outcomes: Mapping[str, float]  # images by outcome, as in `face_age_images_total`
    values: Mapping[tuple[str, str], float]  # predictions by task and range
    seconds: float  # of workers, in batches

    @property
    def images(self) -> float:
        """Images that the handler saw."""
        return sum(self.outcomes.values())

    def since(self, before: "Counts") -> "Counts":
        """What was added to an earlier count."""
        return Counts(
            self.requests - before.requests,
            {key: n - before.outcomes.get(key, 0) for key, n in self.outcomes.items()},
            {key: n - before.values.get(key, 0) for key, n in self.values.items()},
            self.seconds - before.seconds,
        )


class Management:
    """One model of a TorchServe that runs, by its management API on this machine."""

    def __init__(self, addresses: Addresses, model: str) -> None:
        self._addresses = addresses
        self._url = f"{addresses.management.url}/models"
        self.model = model

    def versions(self) -> dict[str, VersionStatus]:
        """The registered versions of the model. Raises CommandError."""
        try:
            described = self._call("GET", f"/{self.model}/all")
        except Refused as error:
            if error.code == _NOT_FOUND:
                return {}
            raise
        return {each["modelVersion"]: _status(each) for each in described}

    def default(self) -> VersionStatus:
        """The version that is asked where a request names none. Raises CommandError."""
        (described,) = self._call("GET", f"/{self.model}")
        return _status(described)

    def register(self, archive: str, version: str, batch_size: int, workers: int) -> None:
        """Load an archive of the model store; returns when `workers` are READY.

        Nothing is done if the version is registered. Raises CommandError if it cannot be loaded.
        """
        words = {
            "url": archive,
            "model_name": self.model,
            "batch_size": str(batch_size),
            "initial_workers": str(workers),
            "synchronous": "true",
        }
        try:
            self._call("POST", f"?{urllib.parse.urlencode(words)}", START_TIMEOUT)
        except Refused as error:
            if error.code == _NOT_ALLOWED:
                raise CommandError(
                    "the service runs without roll-outs: stop it, and start it with --rollouts"
                ) from error
            if error.code != _CONFLICT:
                raise
            self.scale(version, workers)

    def scale(self, version: str, workers: int) -> None:
        """Give a version so many workers; returns when they are READY. Raises CommandError."""
        words = f"min_worker={workers}&max_worker={workers}&synchronous=true"
        self._call("PUT", f"/{self.model}/{version}?{words}", START_TIMEOUT)

    def set_default(self, version: str) -> None:
        """Have requests that name no version answered by this one. Raises CommandError."""
        self._call("PUT", f"/{self.model}/{version}/set-default")

    def unregister(self, version: str) -> None:
        """Remove a version, which ends what its workers compute. Raises CommandError."""
        try:
            self._call("DELETE", f"/{self.model}/{version}", START_TIMEOUT)
        except Refused as error:
            if error.code != _NOT_FOUND:
                raise

    def counts(self, version: str) -> Counts:
        """What the metrics have counted of a version. Raises CommandError."""
        text = self._read(f"{self._addresses.metrics.url}/metrics", "GET", READ_TIMEOUT).decode()
        requests = seconds = 0.0
        outcomes: dict[str, float] = {}
        values: dict[tuple[str, str], float] = {}
        for name, words, number in _LINE.findall(text):
            labels, count = dict(_LABEL.findall(words)), float(number)
            model = labels.get("model", labels.get("model_name"))
            if (model, labels.get("version", labels.get("model_version"))) != (self.model, version):
                continue
            if name == "ts_inference_requests_total":
                requests += count
            elif name == "face_age_images_total":
                outcomes[labels["outcome"]] = outcomes.get(labels["outcome"], 0) + count
            elif name == "face_age_predictions_total":
                key = labels["task"], labels["value"]
                values[key] = values.get(key, 0) + count
            elif name == "face_age_batch_seconds_sum":
                seconds += count
        return Counts(requests, outcomes, values, seconds)

    def _call(self, method: str, path: str, timeout: float = READ_TIMEOUT) -> Any:
        return json.loads(self._read(f"{self._url}{path}", method, timeout))

    def _read(self, url: str, method: str, timeout: float) -> bytes:
        request = urllib.request.Request(url, method=method)
        try:
            with _opener.open(request, timeout=timeout) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(2000).decode(errors="replace")
            try:
                text = json.loads(text)["message"]
            except (ValueError, TypeError, KeyError):
                text = " ".join(text.split())
            raise Refused(error.code, text) from error
        except OSError as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise Unreachable(f"{url} does not answer: {reason}") from error


def _status(described: Mapping[str, Any]) -> VersionStatus:
    states = [worker["status"] for worker in described["workers"]]
    return VersionStatus(
        described["modelVersion"],
        described["modelUrl"],
        described["minWorkers"],
        states.count("READY"),
        described["batchSize"],
        described["jobQueueStatus"]["pendingRequests"],
        described["responseTimeout"],
    )
