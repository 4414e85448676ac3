"""A request as TorchServe hands it over -> the photograph's bytes and the options."""

import binascii
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from handler.errors import InvalidOption, InvalidRequest
from handler.imaging.sniffing import served_format

HOW: Final = (
    "send the photograph as the body, as the multipart part 'data', "
    'or as JSON {"data": "<base64>"}'
)


@dataclass(frozen=True)
class Options:
    """What a client may ask for beside the photograph."""

    min_confidence: float = 0.9  # faces below it are left out
    max_faces: int = 300  # the largest are kept


@dataclass(frozen=True)
class Request:
    """One photograph, still encoded, and what is wanted of it."""

    photograph: bytes
    options: Options = Options()


@dataclass(frozen=True)
class _Range:
    low: int
    high: int
    whole: bool

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low} to {self.high}"

    def __contains__(self, value: object) -> bool:
        # by exact type: JSON's true is an int to Python; NaN is in no range
        return type(value) in ((int,) if self.whole else (int, float)) and (
            self.low <= value <= self.high  # type: ignore[operator]
        )


_RANGES: Final = {
    "min_confidence": _Range(0, 1, whole=False),
    "max_faces": _Range(1, 1000, whole=True),
}
# An option is written like a number in JSON wherever it stands; Python's own float() and int()
# take "nan", "1_0" and the digits of every script. No number that is meant has 40 characters.
_NUMBER: Final = re.compile(r"(?=.{1,40}\Z)-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_HEADERS: Final = {"x-" + name.replace("_", "-"): name for name in _RANGES}
# The most faces that a proxy lets its clients ask for; not an option: clients cannot set it there.
_MOST_FACES: Final = "x-most-faces"
# Names of headers that are meant for an option. Others are none of ours: proxies, tracing and
# browsers add some to every request. The proxy has the same in deploy/nginx/requests.js.
LIKE_AN_OPTION: Final = re.compile(
    r"(x[-_])?((min|mim|max|minimum|maximum|num|number|of|count|score|limit|face|detection)[-_]?)*"
    r"(faces|c(?=[a-z]{0,9}f)(?=[a-z]{0,9}n)[onfideac]{3,11})"
    r"([-_]?(min|max|minimum|maximum|num|number|count|score|threshold|limit|size))*"
    r"|(x[-_])?(min|max)(imum)?[-_]?((num|number|of)[-_])*(fac|f[aces]{4}|conf(?!ig)).*"
    r"|x[-_](min|max)(imum)?[-_]?(detect|score|prob|thresh|result|people|person|count|num).*"
)
_HEAD: Final = 32  # bytes that tell a format
_DATA_URL_LENGTH: Final = 200  # of a prefix such as "data:image/jpeg;base64,"


def parse(
    row: Mapping[str, object], headers: Mapping[str, str], repeated: Sequence[str] = ()
) -> Request:
    """The request in one row of a batch.

    Args:
        row: `{"body": ...}` for a raw or a JSON body, otherwise one entry for each part of a
            multipart form or of a gRPC map.
        headers: of that request, names in any case. An option in the body wins over a header.
            X-Most-Faces, by a proxy, lowers what `max_faces` may be.
        repeated: names that more than one part has, of which the row holds the last.

    Raises:
        InvalidRequest: there is no photograph or more than one, or it is not sent in a way that
            is understood.
        InvalidOption: an option has a wrong value, or a name that is not known.
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
            "send one photograph a request, and each option once"
        )

    most_faces = _most_faces(headers.get(_MOST_FACES, ""))
    if row.keys() != {"body"}:
        photograph = _part(row)
        options |= {name: _number(value) for name, value in row.items() if name != "data"}
        return Request(photograph, _options(options, most_faces))

    body = _body(row["body"], headers.get("content-type", ""))
    if isinstance(body, bytes):
        return Request(body, _options(options, most_faces))
    photograph = _base64(body)
    options |= {name: value for name, value in body.items() if name != "data"}
    return Request(photograph, _options(options, most_faces))


def _body(body: object, content_type: str) -> bytes | dict[str, object]:
    """The photograph, or the JSON object that it is in."""
    kind = content_type.partition(";")[0].strip().lower()
    if isinstance(body, bytes | bytearray):
        if not body:
            raise InvalidRequest(f"the body is empty; {HOW}")
        if kind.startswith("multipart/"):
            raise InvalidRequest(
                "the multipart form cannot be read: its content type gives no boundary; "
                "let the client library write that header, or send the photograph as the body"
            )
        if kind.startswith("text/") and served_format(bytes(body[:_HEAD])) is None:
            raise InvalidRequest(f"the body was sent as text ({kind}); {HOW}")
        if kind != "application/json":
            return bytes(body)
        body = _json(body)
    elif kind.startswith("text/"):
        raise InvalidRequest(f"the body was sent as text ({kind}); {HOW}")
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
        "or the photograph itself with the content type of its format"
    )


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for name, value in pairs:
        if name in content:
            raise InvalidRequest(
                f"the JSON body has more than one {_shown(name)}; "
                "send one photograph a request, and each option once"
            )
        content[name] = value
    return content


def _base64(content: Mapping[str, object]) -> bytes:
    """The photograph in a JSON object: standard base64, a data URL's prefix being allowed."""
    if "data" not in content:
        raise InvalidRequest('the JSON body has no "data"; send {"data": "<base64>"}')
    text = content["data"]
    if not isinstance(text, str):
        raise InvalidRequest(f'"data" is {_shown(text)}; send the photograph in base64, a string')
    prefix, comma, _ = text[:_DATA_URL_LENGTH].lower().partition(",")
    if comma and prefix.startswith("data:") and prefix.endswith(";base64"):
        text = text[len(prefix) + 1 :]
    try:
        encoded = text.encode("ascii").translate(None, b" \t\r\n")
        if len(encoded) % 4:
            raise ValueError("its length is no multiple of 4")  # CPython lets one "=" too many by
        photograph = binascii.a2b_base64(encoded, strict_mode=True)
    except UnicodeEncodeError:
        raise InvalidRequest('bad base64 in "data": it has characters beyond ASCII') from None
    except ValueError as error:
        raise InvalidRequest(
            f'bad base64 in "data": {error}; use the standard alphabet (+ and /) with padding'
        ) from error
    if not photograph:
        raise InvalidRequest('"data" is empty; send the photograph in base64')
    return photograph


def _part(parts: Mapping[str, object]) -> bytes:
    """The photograph in a multipart form or a gRPC map."""
    if not parts:
        # what TorchServe makes of a truncated form as well
        raise InvalidRequest(f"the request is empty, or its form is truncated; {HOW}")
    images = [name for name, part in parts.items() if _is_image(part)]
    if len(images) > 1:
        raise InvalidRequest(
            f"the request has several images, as {', '.join(map(_shown, sorted(images)[:3]))}; "
            "send one photograph a request, in the part 'data'"
        )
    if "data" not in parts:
        raise InvalidRequest(f"the request has no part 'data'; {HOW}")
    photograph = parts["data"]
    if not isinstance(photograph, bytes | bytearray):
        raise InvalidRequest(
            "the part 'data' was sent as text or JSON; send it as a file whose content type "
            "is that of an image (curl -F data=@photo.jpg)"
        )
    if not photograph:
        raise InvalidRequest("the part 'data' is empty; send the photograph in it")
    return bytes(photograph)


def _is_image(part: object) -> bool:
    return isinstance(part, bytes | bytearray) and served_format(bytes(part[:_HEAD])) is not None


def _number(value: object) -> object:
    """The number that a header or a part holds; anything else is left for `_options` to refuse."""
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
    """A client's value in a message, cut short."""
    return reprlib.repr(value)
