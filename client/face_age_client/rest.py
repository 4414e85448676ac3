"""REST client; needs only the standard library."""

import contextlib
import http.client
import json
import os
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Self, TypeVar, Unpack

from face_age_client.address import REST_URL, Address, bearer
from face_age_client.answer import Answer, parse, picture
from face_age_client.errors import Interrupted, Refused, Unreachable
from face_age_client.options import Options, PictureFormat, texts, trace
from face_age_client.retry import parse_retry_after, retry

T = TypeVar("T")
Route = Literal["predictions", "explanations"]
_DISCONNECTED = (ConnectionError, ssl.SSLEOFError)
_Response = tuple[http.client.HTTPResponse, bytes]  # and its body


class RestClient:
    """One connection, kept open between images; not for use by several threads at once."""

    def __init__(
        self,
        url: str = REST_URL,
        *,
        model: str = "age",
        model_version: str = "",
        timeout: float = 120,
        api_key: str = "",
        ca_file: Path | None = None,
    ) -> None:
        """Connects with the first image.

        Args:
            url: The service's, without /predictions: https://example.org/faces, for instance.
            model: Its name in the service: "emotion", for instance.
            model_version: "" for the service's default.
            timeout: Seconds, for the connection, for the answer, and for all retries together.
            api_key: For a proxy that asks for one.
            ca_file: PEM file of the authorities to trust instead of the system's.

        Raises:
            ValueError: `url` or `api_key` is malformed.
            OSError: `ca_file` cannot be read.
        """
        address = Address.rest(url)
        self._url, self._timeout = url, timeout
        self._connection = (
            http.client.HTTPSConnection(
                address.host, address.port, timeout=timeout, context=ssl_context(ca_file)
            )
            if address.secure
            else http.client.HTTPConnection(address.host, address.port, timeout=timeout)
        )
        self._auth = auth_headers(api_key)
        self._path, self._names = address.path, (model, model_version)

    def predict(self, image: bytes, *, traceparent: str = "", **options: Unpack[Options]) -> Answer:
        """The answer to an image file.

        Args:
            image: JPEG, PNG, WebP, BMP or GIF.
            traceparent: The W3C's, of the trace that the call belongs to. One that is not valid is
                not sent: no call fails by it.
            options: See `face_age_client.options.Options`.

        Raises:
            ClientError: There is no answer; refusals with a Retry-After have been retried.
            TypeError: There is no such option.
        """
        return self._retry("predictions", image, request_headers(options, traceparent), parse)

    def explain(self, image: bytes, *, traceparent: str = "", **options: Unpack[Options]) -> Answer:
        """The answer with an occlusion map of each of the largest faces; raises as `predict`.

        They are in `explanations` of a face, or `image_explanations` of the answer. Each takes the
        service as long as some 50 faces.
        """
        return self._retry("explanations", image, request_headers(options, traceparent), parse)

    def picture(
        self,
        image: bytes,
        kind: PictureFormat = "jpeg",
        *,
        traceparent: str = "",
        **options: Unpack[Options],
    ) -> bytes:
        """The answer drawn on the image, as a file of that kind; raises as `predict`."""
        headers = request_headers(options, traceparent) | {"X-annotate": kind}
        return self._retry("predictions", image, headers, picture)

    def close(self) -> None:
        """Close the connection; another image would open a new one."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _retry(
        self, route: Route, image: bytes, headers: Mapping[str, str], read: Callable[[bytes], T]
    ) -> T:
        path, sent = self._path + image_path(route, *self._names), {**self._auth, **headers}
        return retry(lambda: self._ask(path, image, sent, read), self._timeout)

    def _ask(
        self, path: str, image: bytes, headers: Mapping[str, str], read: Callable[[bytes], T]
    ) -> T:
        try:
            response, body = self._exchange(path, image, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Interrupted(f"{self._url} broke off: {reason(error)}") from error
        return read_response(response.status, body, response.getheader("Retry-After"), read)

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> _Response:
        if self._connection.sock is None:
            self._connect()
            return self._send(path, body, headers)
        try:
            return self._send(path, body, headers)
        except _DISCONNECTED:
            self._connection.close()  # the service may close an idle connection at any time
            self._connect()
            return self._send(path, body, headers)

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except OSError as error:
            raise Unreachable(f"{self._url} does not answer: {reason(error)}") from error

    def _send(self, path: str, body: bytes, headers: Mapping[str, str]) -> _Response:
        # A body that is too large is refused, with a response, while it is still being sent.
        with contextlib.suppress(*_DISCONNECTED):
            self._connection.request("POST", path, body, dict(headers))
        response = self._connection.getresponse()
        return response, response.read()


def auth_headers(api_key: str) -> dict[str, str]:
    """Headers with a proxy's key, none for ""; raises ValueError on a malformed key."""
    return {"Authorization": bearer(api_key)} if api_key else {}


def image_path(route: Route, model: str, model_version: str) -> str:
    """The path that images are sent to."""
    names = (urllib.parse.quote(name, safe="") for name in (model, model_version) if name)
    return f"/{route}/{'/'.join(names)}"


def request_headers(options: Options, traceparent: str) -> dict[str, str]:
    """Headers of an image with these options, of this trace."""
    named = {f"X-{name.replace('_', '-')}": text for name, text in texts(options).items()}
    # Without a type TorchServe takes some bodies for a form.
    return {"Content-Type": "application/octet-stream", **named, **trace(traceparent)}


def ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trusts the authorities in a PEM file, or the system's."""
    return ssl.create_default_context(cadata=ca_file.read_text() if ca_file else None)


def read_response(
    status: int, body: bytes, retry_after: str | None, read: Callable[[bytes], T]
) -> T:
    """What `read` makes of a response's body; raises Refused and Malformed."""
    if status == http.HTTPStatus.OK:
        return read(body)
    raise refusal(status, body, retry_after)


def refusal(status: int, body: bytes, retry_after: str | None = None) -> Refused:
    """The failure in a response that is not 200; `retry_after` is its header."""
    seconds = parse_retry_after(retry_after)
    try:
        content = json.loads(body)
        return Refused(content["type"], content["message"], status, seconds)
    except (ValueError, TypeError, KeyError):
        pass
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        message = "the service does not take that many bytes"
        return Refused(f"HTTP {status}", message, status, seconds)
    text = " ".join(body[:200].decode(errors="replace").split())
    return Refused(f"HTTP {status}", text or "no reason was given", status, seconds)


def reason(error: BaseException) -> str:
    """What went wrong with a connection, in a few words."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
