"""What TorchServe's worker leaves out of a request, told to the handler all the same.

It makes a dict of a form's parts and of a JSON object: of two photographs under one name the last
would be answered, with status 200, and nobody could know of the other.
"""

import functools
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


class Parts(dict[str, object]):
    """A request's parts by name, with the names that more than one of them has."""

    def __init__(self, parts: Mapping[str, object], repeated: Sequence[str] = ()) -> None:
        super().__init__(parts)
        self.repeated = tuple(repeated)


def hand_over_whole_requests() -> None:
    """Have the worker of this process hand over `Parts`, and JSON as it was sent.

    Outside of a worker there is nothing to change.
    """
    # TorchServe's own setting `decode_input_request`, which its worker looks at in each request
    os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
    service = getattr(sys.modules.get("ts.service"), "Service", None)
    if service is None or hasattr(service.retrieve_data_for_inference, "tells_repeated"):
        return
    made = service.retrieve_data_for_inference

    @functools.wraps(made)
    def telling(batch: list[dict[str, Any]]) -> tuple[object, list[Parts], object]:
        headers, rows, ids = made(batch)
        return headers, [Parts(row, _repeated(r)) for row, r in zip(rows, batch, strict=True)], ids

    telling.tells_repeated = True  # type: ignore[attr-defined]
    service.retrieve_data_for_inference = staticmethod(telling)


def _repeated(request: Mapping[str, Any]) -> list[str]:
    counts = Counter(part["name"] for part in request["parameters"])
    return [name for name, count in counts.items() if count > 1]
