"""Parses a request from TorchServe into the image's bytes and the options."""

import binascii
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from handler.errors import InvalidOption, InvalidRequest
from handler.imaging.sniffing import served_format

USAGE: Final = (
    'send the image as the body, as the multipart part \'data\', or as JSON {"data": "<base64>"}'
)


@dataclass(frozen=True)
class Options:
    """Options of a request."""

    min_confidence: float = 0.9  # faces below it are dropped
    max_faces: int = 300  # the largest are kept


@dataclass(frozen=True)
class Request:
    """One encoded image with its options."""

    image: bytes
    options: Options = Options()


@dataclass(frozen=True)
class _Range:
    low: int
    high: int
    whole: bool

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low} to {self.high}"

    def __contains__(self, value: object) -> bool:
        # by exact type, as bool is a subclass of int; NaN is in no range
        return type(value) in ((int,) if self.whole else (int, float)) and (
            self.low <= value <= self.high  # type: ignore[operator]
        )


_RANGES: Final = {
    "min_confidence": _Range(0, 1, whole=False),
    "max_faces": _Range(1, 1000, whole=True),
}
# Options are JSON numbers in headers and parts too; Python's float() and int() also take "nan",
# "1_0" and the digits of every script. 40 characters are enough for any sensible number.
_NUMBER: Final = re.compile(r"(?=.{1,40}\Z)-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_HEADERS: Final = {"x-" + name.replace("_", "-"): name for name in _RANGES}
# Maximum of max_faces that a proxy sets; not an option, as clients cannot set it behind the proxy.
_MOST_FACES: Final = "x-most-faces"
# Headers that look like a misspelled option, which is refused. Other headers are ignored: proxies,
# tracing and browsers add some to every request. deploy/nginx/requests.js has the same pattern.
LIKE_AN_OPTION: Final = re.compile(
    r"(x[-_])?((min|mim|max|minimum|maximum|num|number|of|count|score|limit|face|detection)[-_]?)*"
    r"(faces|c(?=[a-z]{0,9}f)(?=[a-z]{0,9}n)[onfideac]{3,11})"
    r"([-_]?(min|max|minimum|maximum|num|number|count|score|threshold|limit|size))*"
    r"|(x[-_])?(min|max)(imum)?[-_]?((num|number|of)[-_])*(fac|f[aces]{4}|conf(?!ig)).*"
    r"|x[-_](min|max)(imum)?[-_]?(detect|score|prob|thresh|result|people|person|count|num).*"
)
_HEAD: Final = 32  # bytes that decide the format
_DATA_URL_LENGTH: Final = 200  # characters of a prefix such as "data:image/jpeg;base64,"


def parse(
    row: Mapping[str, object], headers: Mapping[str, str], repeated: Sequence[str] = ()
) -> Request:
    """Parse one row of a batch.

    Args:
        row: `{"body": ...}` for a raw or JSON body, otherwise one entry for each part of a
            multipart form or of a gRPC map.
        headers: of the request, names in any case. An option in the body overrides a header.
            X-Most-Faces, set by a proxy, lowers the maximum of `max_faces`.
        repeated: names that several parts have; the row holds the last of each.

    Raises:
        InvalidRequest: no image, more than one, or a request that cannot be parsed.
        InvalidOption: an option has an invalid value or an unknown name.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    options: dict[str, object] = {
        name: _number(headers[header]) for header, name in _HEADERS.items() if header in headers
    }
    for header in headers.keys() - _HEADERS.keys():
        if LIKE_AN_OPTION.fullmatch(header):
            known = ", ".join(name.title() for name in _HEADERS)
            raise InvalidOption(f"there is no option {_shown(header)}; known headers are {known}")
    if repeated:
        raise InvalidRequest(
            f"the form has more than one part {_shown(repeated[0])}; "
            "send one image a request, and each option once"
        )

    most_faces = _most_faces(headers.get(_MOST_FACES, ""))
    if row.keys() != {"body"}:
        image = _part(row)
        options |= {name: _number(value) for name, value in row.items() if name != "data"}
        return Request(image, _options(options, most_faces))

    body = _body(row["body"], headers.get("content-type", ""))
    if isinstance(body, bytes):
        return Request(body, _options(options, most_faces))
    image = _base64(body)
    options |= {name: value for name, value in body.items() if name != "data"}
    return Request(image, _options(options, most_faces))


def _body(body: object, content_type: str) -> bytes | dict[str, object]:
    """The image's bytes, or the JSON object that holds it."""
    kind = content_type.partition(";")[0].strip().lower()
    if isinstance(body, bytes | bytearray):
        if not body:
            raise InvalidRequest(f"the body is empty; {USAGE}")
        if kind.startswith("multipart/"):
            raise InvalidRequest(
                "the multipart form cannot be read: its content type gives no boundary; "
                "let the client library write that header, or send the image as the body"
            )
        if kind.startswith("text/") and served_format(bytes(body[:_HEAD])) is None:
            raise InvalidRequest(f"the body was sent as text ({kind}); {USAGE}")
        if kind != "application/json":
            return bytes(body)
        body = _json(body)
    elif kind.startswith("text/"):
        raise InvalidRequest(f"the body was sent as text ({kind}); {USAGE}")
    if not isinstance(body, dict):
        raise InvalidRequest(f'the JSON body is {_shown(body)}; send {{"data": "<base64>"}}')
    return body


def _json(body: bytes | bytearray) -> object:
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        reason = str(error)
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except (ValueError, RecursionError):
        reason = "a number in it is too long, or it is nested too deeply"
    raise InvalidRequest(
        f'bad JSON: {reason}; send {{"data": "<base64>"}}, '
        "or the image itself with the content type of its format"
    )


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for name, value in pairs:
        if name in content:
            raise InvalidRequest(
                f"the JSON body has more than one {_shown(name)}; "
                "send one image a request, and each option once"
            )
        content[name] = value
    return content


def _base64(content: Mapping[str, object]) -> bytes:
    """The image in a JSON object: standard base64, optionally with a data URL's prefix."""
    if "data" not in content:
        raise InvalidRequest('the JSON body has no "data"; send {"data": "<base64>"}')
    text = content["data"]
    if not isinstance(text, str):
        raise InvalidRequest(f'"data" is {_shown(text)}; send the image in base64, a string')
    prefix, comma, _ = text[:_DATA_URL_LENGTH].lower().partition(",")
    if comma and prefix.startswith("data:") and prefix.endswith(";base64"):
        text = text[len(prefix) + 1 :]
    try:
        encoded = text.encode("ascii").translate(None, b" \t\r\n")
        if len(encoded) % 4:
            raise ValueError("its length is no multiple of 4")  # CPython accepts one "=" too many
        image = binascii.a2b_base64(encoded, strict_mode=True)
    except UnicodeEncodeError:
        raise InvalidRequest('bad base64 in "data": it has characters beyond ASCII') from None
    except ValueError as error:
        raise InvalidRequest(
            f'bad base64 in "data": {error}; use the standard alphabet (+ and /) with padding'
        ) from error
    if not image:
        raise InvalidRequest('"data" is empty; send the image in base64')
    return image


def _part(parts: Mapping[str, object]) -> bytes:
    """The image in a multipart form or a gRPC map."""
    if not parts:
        # TorchServe parses a truncated form to this, too
        raise InvalidRequest(f"the request is empty, or its form is truncated; {USAGE}")
    images = [name for name, part in parts.items() if _is_image(part)]
    if len(images) > 1:
        raise InvalidRequest(
            f"the request has several images, as {', '.join(map(_shown, sorted(images)[:3]))}; "
            "send one image a request, in the part 'data'"
        )
    if "data" not in parts:
        raise InvalidRequest(f"the request has no part 'data'; {USAGE}")
    image = parts["data"]
    if not isinstance(image, bytes | bytearray):
        raise InvalidRequest(
            "the part 'data' was sent as text or JSON; send it as a file whose content type "
            "is that of an image (curl -F data=@photo.jpg)"
        )
    if not image:
        raise InvalidRequest("the part 'data' is empty; send the image in it")
    return bytes(image)


def _is_image(part: object) -> bool:
    return isinstance(part, bytes | bytearray) and served_format(bytes(part[:_HEAD])) is not None


def _number(value: object) -> object:
    """The number in a header or a part; anything else stays for `_options` to refuse."""
    if isinstance(value, bytes | bytearray):
        value = value.decode("ascii", "backslashreplace")
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    return float(match[0]) if match[1] or match[2] else int(match[0])


def _most_faces(header: str) -> int:
    allowed, value = _RANGES["max_faces"], _number(header)
    return int(value) if value in allowed else allowed.high  # type: ignore[call-overload]


def _options(values: Mapping[str, object], most_faces: int) -> Options:
    ranges = _RANGES | {"max_faces": replace(_RANGES["max_faces"], high=most_faces)}
    for name, value in values.items():
        if name not in ranges:
            known = ", ".join(("data", *ranges))
            raise InvalidOption(f"there is no option {_shown(name)}; known are {known}")
        if value not in ranges[name]:
            raise InvalidOption(f"{name} must be {ranges[name]}, not {_shown(value)}")
    default = Options(max_faces=min(Options.max_faces, most_faces))
    return replace(default, **values)  # type: ignore[arg-type]


def _shown(value: object) -> str:
    """A client's value for a message, shortened."""
    return reprlib.repr(value)
