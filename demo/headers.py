"""Headers of every response of the page."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

_Message = MutableMapping[str, Any]
_App = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]

# A browser then asks no other host, whatever Gradio's page says, and keeps nothing.
HEADERS: Final = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
NOT_KEPT: Final = {"cache-control": "no-store"}
_LASTING: Final = ("/assets/", "/static/")  # Gradio's own files


class PrivateHeaders:
    """ASGI middleware that adds them."""

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = HEADERS if scope["path"].startswith(_LASTING) else HEADERS | NOT_KEPT

        async def sending(message: _Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.encode() for name in added}
                kept = [pair for pair in message["headers"] if pair[0].lower() not in names]
                message["headers"] = [
                    *kept,
                    *((name.encode(), value.encode()) for name, value in added.items()),
                ]
            await send(message)

        await self._app(scope, receive, sending)
