"""Asks over REST."""

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Mapping

from client.answer import Answer, parse
from client.errors import Interrupted, Refused, Unreachable


class RestClient:
    """One connection to the service, kept open between photographs; not for several threads."""

    def __init__(
        self, url: str, *, model: str = "age", version: str = "", timeout: float = 120
    ) -> None:
        """`url` as in http://127.0.0.1:8080, `timeout` in seconds; ValueError on another form."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is not of the form http://127.0.0.1:8080")
        connect = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._url = url
        self._connection = connect(parts.hostname, parts.port, timeout=timeout)
        path = "/".join(urllib.parse.quote(name, safe="") for name in (model, version) if name)
        self._path = f"{parts.path.rstrip('/')}/predictions/{path}"

    def ask(self, photograph: bytes, options: Mapping[str, float] | None = None) -> Answer:
        """The answer to one photograph; `options` as the service names them (`max_faces`, ...).

        Raises AskError.
        """
        # Without a type TorchServe takes some bodies for a form.
        headers = {"Content-Type": "application/octet-stream"}
        for name, value in (options or {}).items():
            headers[f"X-{name.replace('_', '-')}"] = str(value)
        try:
            status, body = self._exchange(photograph, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Interrupted(f"{self._url} broke off: {_reason(error)}") from error
        if status == http.HTTPStatus.OK:
            return parse(body)
        raise _refusal(status, body)

    def close(self) -> None:
        """Close the connection; the next photograph would open another."""
        self._connection.close()

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self._connection.sock is None:
            self._connect()
            return self._once(body, headers)
        try:
            return self._once(body, headers)
        except ConnectionError:
            self._connection.close()  # an idle connection may be closed at any time
            self._connect()
            return self._once(body, headers)

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except OSError as error:
            raise Unreachable(f"{self._url} does not answer: {_reason(error)}") from error

    def _once(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        # A body that is too large is refused, with an answer, while it is still being sent.
        with contextlib.suppress(ConnectionError):
            self._connection.request("POST", self._path, body, dict(headers))
        response = self._connection.getresponse()
        return response.status, response.read()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _refusal(status: int, body: bytes) -> Refused:
    try:
        content = json.loads(body)
        return Refused(content["type"], content["message"], status)
    except (ValueError, TypeError, KeyError):
        pass
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Refused(f"HTTP {status}", "the service does not take that many bytes", status)
    text = " ".join(body[:200].decode(errors="replace").split())
    return Refused(f"HTTP {status}", text or "no reason was given", status)
