"""How long a request has waited for a worker, where a proxy tells when it came.

TorchServe drops what has waited too long when it makes up a batch, but never the batch's first.
"""

import re
from collections.abc import Mapping
from typing import Final

from handler.errors import WaitedTooLong

# As New Relic's agents have it, and nginx writes it: seconds since 1970, as "t=${msec}".
_HEADER: Final = "x-request-start"
_START: Final = re.compile(r"t=([0-9]{1,12}(?:\.[0-9]{1,9})?)", re.ASCII)


def refuse_late(headers: Mapping[str, str], longest: float, now: float) -> None:
    """Raises WaitedTooLong for a request that came more than `longest` seconds before `now`.

    Args:
        headers: of the request, names in any case. Without a readable X-Request-Start among them
            nobody knows when it came, and it is not refused.
        longest: seconds; 0 refuses nothing.
        now: seconds since 1970.
    """
    told = next((value for name, value in headers.items() if name.lower() == _HEADER), "")
    start = _START.fullmatch(told)
    if longest and start and now - float(start[1]) > longest:
        raise WaitedTooLong(
            f"the service is busy: the photograph has waited over {longest} s for its turn; "
            "send it again later"
        )
