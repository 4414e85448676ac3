"""Asks over REST."""

import contextlib
import http.client
import json
import ssl
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from face_age_client.address import Address, authorization
from face_age_client.answer import Answer, parse
from face_age_client.errors import Interrupted, Refused, Unreachable
from face_age_client.retry import patiently, seconds_of

_BROKEN = (ConnectionError, ssl.SSLEOFError)
_Response = tuple[http.client.HTTPResponse, bytes]  # and its body


class RestClient:
    """One connection to the service, kept open between photographs; not for several threads."""

    def __init__(
        self,
        url: str,
        *,
        model: str = "age",
        version: str = "",
        timeout: float = 120,
        key: str = "",
        certificates: Path | None = None,
    ) -> None:
        """`url` as `Address.rest` takes it, `timeout` in seconds; ValueError on another form.

        `key` is for a proxy in front, `certificates` a PEM file of whom to trust instead of the
        system's authorities.
        """
        address = Address.rest(url)
        self._url, self._timeout = url, timeout
        self._connection = (
            http.client.HTTPSConnection(
                address.host, address.port, timeout=timeout, context=trust(certificates)
            )
            if address.secure
            else http.client.HTTPConnection(address.host, address.port, timeout=timeout)
        )
        self._authorization = authorized(key)
        self._path = address.path + predictions(model, version)

    def ask(self, photograph: bytes, options: Mapping[str, float] | None = None) -> Answer:
        """The answer to one photograph; `options` as the service names them (`max_faces`, ...).

        Asks again where a refusal says when, for as long as the timeout. Raises AskError.
        """
        headers = self._authorization | headers_of(options or {})
        return patiently(lambda: self._ask(photograph, headers), self._timeout)

    def close(self) -> None:
        """Close the connection; the next photograph would open another."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, photograph: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            response, body = self._exchange(photograph, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Interrupted(f"{self._url} broke off: {_reason(error)}") from error
        if response.status == http.HTTPStatus.OK:
            return parse(body)
        raise refusal(response.status, body, response.getheader("Retry-After"))

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> _Response:
        if self._connection.sock is None:
            self._connect()
            return self._once(body, headers)
        try:
            return self._once(body, headers)
        except _BROKEN:
            self._connection.close()  # an idle connection may be closed at any time
            self._connect()
            return self._once(body, headers)

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except OSError as error:
            raise Unreachable(f"{self._url} does not answer: {_reason(error)}") from error

    def _once(self, body: bytes, headers: Mapping[str, str]) -> _Response:
        # A body that is too large is refused, with an answer, while it is still being sent.
        with contextlib.suppress(*_BROKEN):
            self._connection.request("POST", self._path, body, dict(headers))
        response = self._connection.getresponse()
        return response, response.read()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def authorized(key: str) -> dict[str, str]:
    """The header for a proxy's key, or none; ValueError on what is no key."""
    return {"Authorization": authorization(key)} if key else {}


def predictions(model: str, version: str) -> str:
    """The path of a model's predictions."""
    path = "/".join(urllib.parse.quote(name, safe="") for name in (model, version) if name)
    return f"/predictions/{path}"


def headers_of(options: Mapping[str, float]) -> dict[str, str]:
    """The headers of a photograph with these options."""
    # Without a type TorchServe takes some bodies for a form.
    headers = {"Content-Type": "application/octet-stream"}
    for name, value in options.items():
        headers[f"X-{name.replace('_', '-')}"] = str(value)
    return headers


def trust(certificates: Path | None) -> ssl.SSLContext:
    """Of whom: a PEM file's authorities, or the system's."""
    return ssl.create_default_context(cadata=certificates.read_text() if certificates else None)


def refusal(status: int, body: bytes, retry_after: str | None = None) -> Refused:
    """What a response that is not 200 says, with its header Retry-After."""
    seconds = seconds_of(retry_after)
    try:
        content = json.loads(body)
        return Refused(content["type"], content["message"], status, seconds)
    except (ValueError, TypeError, KeyError):
        pass
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        words = "the service does not take that many bytes"
        return Refused(f"HTTP {status}", words, status, seconds)
    text = " ".join(body[:200].decode(errors="replace").split())
    return Refused(f"HTTP {status}", text or "no reason was given", status, seconds)
