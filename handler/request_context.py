"""What a request says of itself, by which its caller finds it in logs and traces."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from handler.deadline import arrival

ENTRIES: Final = ("request_id", "traceparent", "tracestate")  # of a gRPC map, in place of headers
_ID: Final = re.compile(r"[\w.:/+=-]{1,64}", re.ASCII)
# https://www.w3.org/TR/trace-context/#traceparent-header; all zeros are not valid
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_TRACESTATE_LENGTH: Final = 512  # characters that everybody has to pass on


@dataclass(frozen=True)
class RequestContext:
    """Identity, trace and arrival of a request."""

    request_id: str  # the caller's X-Request-Id, or else TorchServe's
    torchserve_id: str  # X-Request-Id of its answer over REST; "" without TorchServe
    traceparent: str = ""  # of the W3C's trace context; "" if there is none that is valid
    tracestate: str = ""
    arrived: float | None = None  # seconds since 1970, by the proxy's clock

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits of the caller's trace, or ""."""
        match = _TRACEPARENT.fullmatch(self.traceparent)
        return match[1] if match else ""


def request_context(
    row: Mapping[str, object], headers: Mapping[str, str], torchserve_id: str
) -> RequestContext:
    """The context in a request's headers, or in the entries of a gRPC map, which has no headers.

    What is not valid counts as absent: no request fails by it.
    """
    if headers:
        given = {name.lower(): value for name, value in headers.items()}
        given["request_id"] = given.get("x-request-id", "")
    else:
        given = {name: _text(row.get(name)) for name in ENTRIES}
    request_id = given.get("request_id", "").strip()
    traceparent = given.get("traceparent", "").strip()
    valid = _TRACEPARENT.fullmatch(traceparent) is not None
    return RequestContext(
        request_id if _ID.fullmatch(request_id) else torchserve_id,
        torchserve_id,
        traceparent if valid else "",
        given.get("tracestate", "")[:_TRACESTATE_LENGTH] if valid else "",
        arrival(headers),
    )


def _text(value: object) -> str:
    return bytes(value).decode("ascii", "replace") if isinstance(value, bytes | bytearray) else ""
