"""What torchserve hands over, and the failure that it must be."""

import base64
from typing import Any

import pytest

from handler.errors import Failure, InvalidRequest
from handler.requests import parse

PHOTO = bytes(range(256))
JPEG, PNG = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"
BASE64 = base64.b64encode(PHOTO).decode()
JSON_TYPE = {"content-type": "application/json"}


def failed(
    row: dict[str, Any], headers: dict[str, str] | None = None, kind: type[Failure] = InvalidRequest
) -> str:
    """The message of the failure that `row` must be."""
    with pytest.raises(Failure) as caught:
        parse(row, headers or {})
    assert type(caught.value) is kind
    return caught.value.message
