"""Patches TorchServe's worker so that repeated names in a request reach the handler.

The worker makes dicts of a form's parts and of a JSON object: of two images under one name it
would answer the last, with status 200, and drop the other silently.
"""

import functools
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


class RequestParts(dict[str, object]):
    """A request's parts by name, and the names that several parts have."""

    def __init__(self, parts: Mapping[str, object], repeated: Sequence[str] = ()) -> None:
        super().__init__(parts)
        self.repeated = tuple(repeated)


def patch_torchserve() -> None:
    """Make this process's worker pass `RequestParts`, and JSON bodies as bytes.

    Without effect on requests outside of a worker.
    """
    # TorchServe's setting `decode_input_request`, which the worker reads for each request
    os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
    service = getattr(sys.modules.get("ts.service"), "Service", None)
    if service is None or hasattr(service.retrieve_data_for_inference, "keeps_repeated"):
        return
    original = service.retrieve_data_for_inference

    @functools.wraps(original)
    def keeping(batch: list[dict[str, Any]]) -> tuple[object, list[RequestParts], object]:
        headers, rows, ids = original(batch)
        return (
            headers,
            [RequestParts(row, _repeated(r)) for row, r in zip(rows, batch, strict=True)],
            ids,
        )

    keeping.keeps_repeated = True  # type: ignore[attr-defined]
    service.retrieve_data_for_inference = staticmethod(keeping)


def _repeated(request: Mapping[str, Any]) -> list[str]:
    counts = Counter(part["name"] for part in request["parameters"])
    return [name for name, count in counts.items() if count > 1]
