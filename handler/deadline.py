"""Refuses what waited too long: in the queue, by the proxy's X-Request-Start, or in a batch.

TorchServe drops expired requests when it forms a batch, except the batch's first.
"""

import re
from collections.abc import Mapping
from typing import Final

from handler.errors import WaitedTooLong

# The format of New Relic's agents, written by nginx: seconds since 1970, as "t=${msec}".
_HEADER: Final = "x-request-start"
_START: Final = re.compile(r"t=([0-9]{1,12}(?:\.[0-9]{1,9})?)", re.ASCII)


def arrival(headers: Mapping[str, str]) -> float | None:
    """When a request arrived by its X-Request-Start, in seconds since 1970; None if not valid.

    Args:
        headers: of the request, names in any case.
    """
    header = next((value for name, value in headers.items() if name.lower() == _HEADER), "")
    start = _START.fullmatch(header)
    return float(start[1]) if start else None


def check_queue_timeout(headers: Mapping[str, str], timeout: float, now: float) -> None:
    """Raise WaitedTooLong for a request that arrived more than `timeout` seconds before `now`.

    Args:
        headers: of the request, names in any case. Without a valid X-Request-Start the request is
            not refused.
        timeout: seconds; 0 disables it.
        now: seconds since 1970.
    """
    start = arrival(headers)
    if timeout and start is not None and now - start > timeout:
        raise WaitedTooLong(
            f"the service is busy: the image waited over {timeout} s in the queue; "
            "send it again later"
        )


def check_due(due: float | None, now: float) -> None:
    """Raise WaitedTooLong if `now` is past `due`, both in seconds of one clock; None: no limit."""
    if due is not None and now > due:
        raise WaitedTooLong(
            "the images before this one took too long; send fewer images in a request"
        )
