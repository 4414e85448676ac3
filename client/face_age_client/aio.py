"""REST client for asyncio; needs the extra `async`."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Self, TypeVar, Unpack

try:
    import aiohttp
    import yarl
except ModuleNotFoundError as error:
    message = f"{error.name} is not installed: it comes with face-age-client[async]"
    raise ModuleNotFoundError(message, name=error.name) from error

from face_age_client.address import REST_URL, Address
from face_age_client.answer import Answer, parse, picture
from face_age_client.errors import Interrupted, Unreachable
from face_age_client.options import Options, PictureFormat
from face_age_client.rest import (
    Route,
    auth_headers,
    image_path,
    read_response,
    reason,
    request_headers,
    ssl_context,
)
from face_age_client.retry import retry_async

_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_DISCONNECTED = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)
T = TypeVar("T")
_Response = tuple[int, bytes, str | None]  # status, body, Retry-After


class AsyncRestClient:
    """Connections that are kept open; for any number of tasks of one event loop."""

    def __init__(
        self,
        url: str = REST_URL,
        *,
        model: str = "age",
        model_version: str = "",
        timeout: float = 120,
        api_key: str = "",
        ca_file: Path | None = None,
        max_connections: int = 8,
    ) -> None:
        """As `RestClient`; further images wait while `max_connections` are on their way."""
        address = Address.rest(url)
        self._url, self._timeout = url, timeout
        self._endpoint, self._names = address.url, (model, model_version)
        self._auth = auth_headers(api_key)
        self._ssl = ssl_context(ca_file) if address.secure else True
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def predict(
        self, image: bytes, *, traceparent: str = "", **options: Unpack[Options]
    ) -> Answer:
        """As `RestClient.predict`."""
        headers = request_headers(options, traceparent)
        return await self._retry("predictions", image, headers, parse)

    async def explain(
        self, image: bytes, *, traceparent: str = "", **options: Unpack[Options]
    ) -> Answer:
        """As `RestClient.explain`."""
        headers = request_headers(options, traceparent)
        return await self._retry("explanations", image, headers, parse)

    async def picture(
        self,
        image: bytes,
        kind: PictureFormat = "jpeg",
        *,
        traceparent: str = "",
        **options: Unpack[Options],
    ) -> bytes:
        """As `RestClient.picture`."""
        headers = request_headers(options, traceparent) | {"X-annotate": kind}
        return await self._retry("predictions", image, headers, picture)

    async def close(self) -> None:
        """Close the connections; another image would open a new one."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _retry(
        self, route: Route, image: bytes, headers: Mapping[str, str], read: Callable[[bytes], T]
    ) -> T:
        path, sent = image_path(route, *self._names), {**self._auth, **headers}
        endpoint = yarl.URL(self._endpoint + path, encoded=True)
        return await retry_async(lambda: self._ask(endpoint, image, sent, read), self._timeout)

    async def _ask(
        self,
        endpoint: yarl.URL,
        image: bytes,
        headers: Mapping[str, str],
        read: Callable[[bytes], T],
    ) -> T:
        if self._session is None:
            self._session = self._open()
        try:
            response = await self._send(self._session, endpoint, image, headers)
        except _UNREACHABLE as error:
            raise Unreachable(f"{self._url} does not answer: {_reason(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Interrupted(f"{self._url} broke off: {_reason(error)}") from error
        return read_response(*response, read)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        endpoint: yarl.URL,
        image: bytes,
        headers: Mapping[str, str],
    ) -> _Response:
        while True:
            connection: dict[str, bool] = {}
            try:
                async with session.post(
                    endpoint,
                    data=io.BytesIO(image),  # large bytes would block the loop
                    headers=headers,
                    allow_redirects=False,  # to a GET, mostly
                    trace_request_ctx=connection,
                ) as response:
                    body = await response.read()
                    return response.status, body, response.headers.get("Retry-After")
            except _DISCONNECTED:
                # The service may close an idle connection at any time.
                if not connection.get("reused"):
                    raise

    def _open(self) -> aiohttp.ClientSession:
        """To be called where the event loop runs."""
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._max_connections, ssl=self._ssl),
            timeout=aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
        )


async def _note_reuse(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _parameters: aiohttp.TraceConnectionReuseconnParams,
) -> None:
    context.trace_request_ctx["reused"] = True


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return reason(error.__cause__ or error)
