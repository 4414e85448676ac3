"""What is wrong around an image: base64, JSON, forms, maps, options, headers."""

import base64
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from tests.corpus.cases import Headers, Message, Outcome, Refused
from tests.corpus.files import PORTRAIT

JSON: Final[Headers] = {"Content-Type": "application/json"}
FORM: Final[Headers] = {"Content-Type": "multipart/form-data; boundary=boundary"}
BYTES: Final[Headers] = {"Content-Type": "application/octet-stream"}
BAD: Final = Refused(400, "InvalidRequest")
BAD_OPTION: Final = Refused(400, "InvalidOption")
BAD_FORM: Final = Refused(500, "ErrorDataDecoderException")  # TorchServe's own
NO_IMAGE: Final = Refused(400, "InvalidImage")
NOT_SERVED: Final = Refused(415, "UnsupportedImageFormat")

Part = tuple[str, str | None, bytes]  # name, content type (None: a plain field), content


def encode(image: bytes) -> str:
    return base64.b64encode(image).decode()


def as_json(image: bytes, **options: Any) -> bytes:
    return json.dumps({"data": encode(image), **options}).encode()


def form(parts: Iterable[Part]) -> bytes:
    """A form; names may repeat."""
    lines = []
    for name, kind, content in parts:
        head = f'--boundary\r\nContent-Disposition: form-data; name="{name}"'
        if kind is not None:
            head += f'; filename="f"\r\nContent-Type: {kind}'
        lines.append(f"{head}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(lines) + b"--boundary--\r\n"


def _in_json(name: str, outcome: Outcome, make: Callable[[bytes], bytes]) -> Message:
    return Message(f"JSON: {name}", outcome, lambda photo: (make(photo), JSON))


def _in_form(name: str, outcome: Outcome, make: Callable[[bytes], Iterable[Part]]) -> Message:
    return Message(f"form: {name}", outcome, lambda photo: (form(make(photo)), FORM))


def _data(photo: bytes) -> Part:
    return "data", "image/jpeg", photo


def _option(name: str, value: str) -> Message:
    """In a header where one can hold it, else in a form; over gRPC an entry."""

    def sent(photo: bytes) -> tuple[bytes, Headers]:
        if (name + value).isascii():
            return photo, BYTES | {f"X-{name.replace('_', '-')}": value}
        return form([_data(photo), (name, None, value.encode())]), FORM

    return Message(
        f"option {name}={value[:10]}",
        BAD_OPTION,
        sent,
        lambda photo: {"data": photo, name: value.encode()},
    )


def _key(name: str, value: object) -> Message:
    """An option in JSON."""
    return _in_json(f"{name} is {value!r}", BAD_OPTION, lambda p: as_json(p, **{name: value}))


def _no_request(content: str) -> Message:
    return _in_json(f"it is {content}", BAD, lambda _: content.encode())


def _header(name: str) -> Message:
    """One that is meant for an option."""
    return Message(f"header {name}", BAD_OPTION, lambda photo: (photo, BYTES | {name: "1"}))


def _of_type(kind: str, outcome: Outcome) -> Message:
    """The image as the body."""
    return Message(f"type {kind}", outcome, lambda photo: (photo, {"Content-Type": kind}))


NO_COUNTS: Final[tuple[object, ...]] = (0, 1001, -1, 1.5, "5", None, True, [5], {}, 10**30)
IN_JSON: Final = [
    _in_json("base64", PORTRAIT, as_json),
    _in_json("a data URL", PORTRAIT, lambda p: as_json(p).replace(b': "', b': "data:a/b;base64,')),
    _in_json("base64 in lines", PORTRAIT, lambda p: as_json(p).replace(b"A", b"A\\r\\n")),
    _in_json("base64 for addresses", BAD, lambda p: as_json(p + b"\xff").replace(b"/", b"_")),
    _in_json("base64 without its end", BAD, lambda p: as_json(p)[:-3] + b'"}'),
    _in_json("base64 of letters that are none", BAD, lambda p: b'{"data": "@@@@"}'),
    _in_json("base64 of nothing", BAD, lambda p: b'{"data": ""}'),
    _in_json("base64 of half a photograph", NO_IMAGE, lambda p: as_json(p[: len(p) // 2])),
    _in_json("base64 of base64", NOT_SERVED, lambda p: as_json(encode(p).encode())),
    _in_json("a photograph as it is", BAD, lambda p: p),
    _in_json("no key data", BAD, lambda p: as_json(p).replace(b"data", b"photo")),
    *(
        _no_request(f'{{"data": {value}}}')
        for value in ("null", "5", "NaN", "true", "[]", "{}", '["eA=="]')
    ),
    *map(_no_request, ("null", "5", "NaN", "true", "[]", '"data"', "", " ")),
    *map(_no_request, ('{"data": ', "{'data': 1}")),
    _in_json("10,000 levels", BAD, lambda _: b'{"data": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    _in_json(
        "10,000 levels of objects", BAD, lambda _: b'{"data":' * 10_000 + b"1" + b"}" * 10_000
    ),
    _in_json("a number of 10,000 digits", BAD, lambda _: b'{"data": ' + b"1" * 10_000 + b"}"),
    _in_json("duplicate keys", BAD, lambda p: b'{"data": "x", ' + as_json(p)[1:]),
    _in_json(
        "duplicate options",
        BAD,
        lambda p: b'{"max_faces": 0, "max_faces": 9, ' + as_json(p)[1:],
    ),
    _in_json("byte-order mark", PORTRAIT, lambda p: b"\xef\xbb\xbf" + as_json(p)),
    _in_json("UTF-16", BAD, lambda p: as_json(p).decode().encode("utf-16")),
    _in_json("name that is not ASCII", BAD_OPTION, lambda p: as_json(p, größe=1)),
    *(_key("max_faces", v) for v in NO_COUNTS),
    *(_key("min_confidence", v) for v in (-1, 1.5, "0.5", None, False, math.nan, math.inf)),
    *(_key("attributes", value) for value in ("mood", [], ["age", 1], None)),
    _key("top_k", "5"),
    *(_key("annotate", value) for value in ("gif", True)),
    *(_key(name, value) for name in ("distribution", "quality") for value in (1, "true", None)),
]
TYPES: Final = [
    _of_type("text/plain", PORTRAIT),
    _of_type("image/png", PORTRAIT),
    _of_type("application/pdf", PORTRAIT),
    _of_type("nonsense", PORTRAIT),
    _of_type("Application/JSON", BAD),
    _of_type("multipart/form-data", BAD),
    _of_type("application/x-www-form-urlencoded", BAD_FORM),
    Message("JSON without its type", NOT_SERVED, lambda photo: (as_json(photo), BYTES)),
    Message("form without its type", NOT_SERVED, lambda photo: (form([_data(photo)]), BYTES)),
]
FORMS: Final = [
    _in_form("no part data", BAD, lambda p: [("photo", "image/jpeg", p)]),
    _in_form("no part", BAD, lambda p: []),
    _in_form("empty part", BAD, lambda p: [("data", "image/jpeg", b"")]),
    _in_form("data is a field", PORTRAIT, lambda p: [("data", None, p)]),
    _in_form("data is text", NOT_SERVED, lambda p: [("data", "text/plain", encode(p).encode())]),
    _in_form("data is JSON", NOT_SERVED, lambda p: [("data", "application/json", as_json(p))]),
    _in_form("two photographs, and the first is bad", BAD, lambda p: [_data(p[:500]), _data(p)]),
    _in_form("two photographs, and the last is bad", BAD, lambda p: [_data(p), _data(p[:500])]),
    _in_form("the same photograph twice", BAD, lambda p: [_data(p), _data(p)]),
    _in_form("two photographs in an array", BAD, lambda p: [("data[]", "image/jpeg", p)] * 2),
    _in_form(
        "two photographs of two names",
        BAD,
        lambda p: [("image1", "image/jpeg", p), ("image2", "image/jpeg", p)],
    ),
    _in_form("data and data2", BAD, lambda p: [_data(p), ("data2", "image/jpeg", p)]),
    _in_form(
        "two options of one name",
        BAD,
        lambda p: [_data(p), *[("max_faces", None, v) for v in (b"0", b"9")]],
    ),
    _in_form(
        "long heads of parts",
        PORTRAIT,
        lambda p: [(f'data"; filename="{"f" * 5000}', "image/jpeg", p)],
    ),
    _in_form("10,000 parts", BAD, lambda p: [_data(p), *[("max_faces", None, b"9")] * 9999]),
    _in_form(
        "10,000 names",
        BAD_OPTION,
        lambda p: [_data(p), *[(f"n{i}", None, b"9") for i in range(9999)]],
    ),
    _in_form("name that is not ASCII", BAD_OPTION, lambda p: [_data(p), ("größe", None, b"9")]),
    _in_form("empty name", BAD_FORM, lambda p: [_data(p), ("", None, b"9")]),
    Message("form that is truncated", BAD, lambda p: (form([_data(p)])[: len(p) // 2], FORM)),
    Message(
        "form with another boundary",
        BAD,
        lambda p: (form([_data(p)]).replace(b"boundary", b"limits"), FORM),
    ),
]
MAPS: Final = [
    Message("two images", BAD, entries=lambda photo: {"data": photo, "data2": photo}),
    Message("empty map", BAD, entries=lambda photo: {}),
    Message("no entry data", BAD, entries=lambda photo: {"photo": photo}),
    Message("empty entry", BAD, entries=lambda photo: {"data": b""}),
    Message("entry body", BAD, entries=lambda photo: {"body": photo, "max_faces": b"1"}),
    Message("entry in base64", NOT_SERVED, entries=lambda photo: {"data": encode(photo).encode()}),
    Message("entry in JSON", NOT_SERVED, entries=lambda photo: {"data": as_json(photo)}),
    Message(
        "10,000 entries",
        BAD_OPTION,
        entries=lambda photo: {"data": photo, **{str(i): b"1" for i in range(9999)}},
    ),
    Message(
        "entry of a name that is no header",
        BAD_OPTION,
        entries=lambda photo: {"data": photo, "explain": b"True"},
    ),
]
EVERY: Final = {
    "min_confidence": b"0.5",
    "max_faces": b"9",
    "attributes": b"age",
    "top_k": b"3",
    "distribution": b"true",
    "quality": b"true",
    "relative": b"true",
    "rotate": b"auto",
}
OPTIONS: Final = [
    Message(
        "every option",
        replace(PORTRAIT, rotation=0),
        lambda photo: (
            form([_data(photo), *((name, None, value) for name, value in EVERY.items())]),
            FORM,
        ),
        lambda photo: {"data": photo, **EVERY},
    ),
    *(
        _option("max_faces", value)
        for value in ("0", "1001", "-1", "1.5", "1e2", "", "many", "nan", "\u0663")
    ),
    *(
        _option("min_confidence", value)
        for value in ("-0.1", "1.1", "nan", "inf", "", "0,5", "1" * 50, "true")
    ),
    *(_option("attributes", value) for value in ("mood", "", "age;mood", "age,")),
    *(_option("top_k", value) for value in ("0", "1.5", "all")),
    *(_option(name, "yes") for name in ("distribution", "quality", "relative", "rotate")),
    _option("annotate", "yes"),
    _option("größe", "1"),
]
HEADERS: Final = [
    *(_header(name) for name in ("X-Max-Face", "x_max_faces", "Max-Faces", "X-Min-Confidance")),
    *(_header(name) for name in ("X-Min-Confidense", "X-Atributes", "X-Top-N", "X-Qualities")),
    *(_header(name) for name in ("X-Distributon", "X-Relativ", "X-Anotate")),
    *(_header(name) for name in ("X-Rotation", "X-Auto-Rotate")),
    Message(
        "headers of proxies",
        PORTRAIT,
        lambda photo: (
            photo,
            BYTES
            | dict.fromkeys(
                ("X-Request-Id", "X-Forwarded-For", "X-Real-IP", "X-Amzn-Trace-Id", "X-B3-TraceId"),
                "1",
            ),
        ),
    ),
]
CASES: Final = [*HEADERS, *IN_JSON, *TYPES, *FORMS, *MAPS, *OPTIONS]
