"""JSON bodies, and images in base64."""

import binascii
import json
import reprlib
from typing import Final

from handler.errors import InvalidRequest

_DATA_URL_LENGTH: Final = 200  # characters of a prefix such as "data:image/jpeg;base64,"


def parse_json(body: bytes | bytearray, usage: str) -> object:
    """The content of a JSON body; `usage` says what should have been sent.

    Raises InvalidRequest for what is no JSON, and for an object that has a key twice.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        reason = str(error)
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except (ValueError, RecursionError):
        reason = "a number in it is too long, or it is nested too deeply"
    raise InvalidRequest(f"bad JSON: {reason}; {usage}")


def parse_base64(text: object, name: str) -> bytes:
    """The image in a key `name`: standard base64, optionally with a data URL's prefix.

    Raises InvalidRequest for anything else, and for no bytes at all.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f'"{name}" is {shown(text)}; send the image in base64, a string')
    prefix, comma, _ = text[:_DATA_URL_LENGTH].lower().partition(",")
    if comma and prefix.startswith("data:") and prefix.endswith(";base64"):
        text = text[len(prefix) + 1 :]
    try:
        encoded = text.encode("ascii").translate(None, b" \t\r\n")
        if len(encoded) % 4:
            raise ValueError("its length is no multiple of 4")  # CPython accepts one "=" too many
        image = binascii.a2b_base64(encoded, strict_mode=True)
    except UnicodeEncodeError:
        raise InvalidRequest(f'bad base64 in "{name}": it has characters beyond ASCII') from None
    except ValueError as error:
        raise InvalidRequest(
            f'bad base64 in "{name}": {error}; use the standard alphabet (+ and /) with padding'
        ) from error
    if not image:
        raise InvalidRequest(f'"{name}" is empty; send the image in base64')
    return image


def shown(value: object) -> str:
    """A client's value for a message, shortened."""
    return reprlib.repr(value)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for name, value in pairs:
        if name in content:
            raise InvalidRequest(
                f"the JSON body has more than one {shown(name)}; "
                "send one image a request, and each option once"
            )
        content[name] = value
    return content
