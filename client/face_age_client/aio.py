"""Asks over REST from asyncio; needs the extra `async`."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Self

import aiohttp

from face_age_client.address import Address
from face_age_client.answer import Answer, parse
from face_age_client.errors import Interrupted, Unreachable
from face_age_client.rest import authorized, headers_of, predictions, refusal, trust
from face_age_client.retry import patiently_async


class AsyncRestClient:
    """Connections to the service, kept open; many tasks may ask at once."""

    def __init__(
        self,
        url: str,
        *,
        model: str = "age",
        version: str = "",
        timeout: float = 120,
        key: str = "",
        certificates: Path | None = None,
        at_once: int = 8,
    ) -> None:
        """As `RestClient`; at most `at_once` photographs are under way together."""
        address = Address.rest(url)
        self._url, self._timeout = url, timeout
        self._place = address.url + predictions(model, version)
        self._headers = authorized(key)
        self._ssl = trust(certificates) if address.secure else True
        self._at_once = at_once
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, photograph: bytes, options: Mapping[str, float] | None = None) -> Answer:
        """The answer to one photograph; `options` as the service names them (`max_faces`, ...).

        Asks again where a refusal says when, for as long as the timeout. Raises AskError.
        """
        headers = self._headers | headers_of(options or {})
        return await patiently_async(lambda: self._ask(photograph, headers), self._timeout)

    async def close(self) -> None:
        """Close the connections; the next photograph would open another."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, photograph: bytes, headers: Mapping[str, str]) -> Answer:
        if self._session is None:  # which must be made where the loop runs
            connector = aiohttp.TCPConnector(limit=self._at_once, ssl=self._ssl)
            timeout = aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=self._timeout)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        try:
            async with self._session.post(self._place, data=photograph, headers=headers) as reply:
                body, after = await reply.read(), reply.headers.get("Retry-After")
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{self._url} does not answer: {error.strerror}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            raise Interrupted(f"{self._url} broke off: {reason}") from error
        if reply.status == HTTPStatus.OK:
            return parse(body)
        raise refusal(reply.status, body, after)
