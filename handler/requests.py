"""Parses a request from TorchServe into the image's bytes and the options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from handler.accept import preferred_picture
from handler.errors import InvalidRequest
from handler.imaging import heif
from handler.imaging.sniffing import served_format
from handler.json_bodies import parse_base64, parse_json, shown
from handler.options import Options, checked, of_headers, of_parts
from handler.request_context import ENTRIES

USAGE: Final = (
    'send the image as the body, as the multipart part \'data\', or as JSON {"data": "<base64>"}'
)


@dataclass(frozen=True)
class Request:
    """One encoded image with its options."""

    image: bytes
    options: Options = field(default_factory=Options)
    explain: bool = False  # whether the answer is to be explained
    due: float | None = None  # seconds of time.monotonic() until which decoding must begin


_HEAD: Final = 160  # bytes that decide the format, HEIC's list of brands among them
_JSON_USAGE: Final = (
    'send {"data": "<base64>"}, or the image itself with the content type of its format'
)


def parse(
    row: Mapping[str, object],
    headers: Mapping[str, str],
    repeated: Sequence[str] = (),
    tasks: Sequence[str] = (),
) -> Request:
    """Parse one row of a batch.

    Args:
        row: `{"body": ...}` for a raw or JSON body, otherwise one entry for each part of a
            multipart form or of a gRPC map.
        headers: of the request, names in any case. An option in the body overrides a header.
            Accept may ask for a picture; X-Most-Faces, set by a proxy, lowers the maximum of
            `max_faces`.
        repeated: names that several parts have; the row holds the last of each.
        tasks: the names that the option `attributes` can choose from.

    Raises:
        InvalidRequest: no image, more than one, or a request that cannot be parsed.
        InvalidOption: an option has an invalid value or an unknown name.
    """
    if not headers:  # a gRPC map, whose entries are in place of headers
        row = {name: value for name, value in row.items() if name not in ENTRIES}
    headers = {name.lower(): value for name, value in headers.items()}
    values = of_headers(headers)
    if repeated:
        raise InvalidRequest(
            f"the form has more than one part {shown(repeated[0])}; "
            "send one image a request, and each option once"
        )
    image, given = _content(row, headers.get("content-type", ""))
    if picture := preferred_picture(headers.get("accept", "")):
        values = {"annotate": picture} | values
    return Request(image, checked(values | given, headers, tasks))


def parsed_json(row: Mapping[str, object], content_type: str) -> Mapping[str, object]:
    """The row with its JSON body parsed, where it has one that TorchServe did not parse.

    A body without a type is JSON if it begins so: tritonclient gives none. Raises InvalidRequest
    for bad JSON.
    """
    body, kind = row.get("body"), _media_type(content_type)
    if row.keys() != {"body"} or not isinstance(body, bytes | bytearray) or not body:
        return row
    if kind == "application/json" or (not kind and body.startswith(b"{")):
        return {"body": parse_json(body, _JSON_USAGE)}
    return row


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _content(row: Mapping[str, object], content_type: str) -> tuple[bytes, dict[str, object]]:
    """The image, and the options beside it."""
    if row.keys() != {"body"}:
        image = _part(row)
        return image, of_parts(_without_data(row))
    body = _body(row["body"], content_type)
    if isinstance(body, bytes):
        return body, {}
    if "data" not in body:
        raise InvalidRequest('the JSON body has no "data"; send {"data": "<base64>"}')
    return parse_base64(body["data"], "data"), _without_data(body)


def _without_data(content: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in content.items() if name != "data"}


def _body(body: object, content_type: str) -> bytes | dict[str, object]:
    """The image's bytes, or the JSON object that holds it."""
    kind = _media_type(content_type)
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
        body = parse_json(body, _JSON_USAGE)
    elif kind.startswith("text/"):
        raise InvalidRequest(f"the body was sent as text ({kind}); {USAGE}")
    if not isinstance(body, dict):
        raise InvalidRequest(f'the JSON body is {shown(body)}; send {{"data": "<base64>"}}')
    return body


def _part(parts: Mapping[str, object]) -> bytes:
    """The image in a multipart form or a gRPC map."""
    if not parts:
        # TorchServe parses a truncated form to this, too
        raise InvalidRequest(f"the request is empty, or its form is truncated; {USAGE}")
    images = [name for name, part in parts.items() if _is_image(part)]
    if len(images) > 1:
        raise InvalidRequest(
            f"the request has several images, as {', '.join(map(shown, sorted(images)[:3]))}; "
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
    if not isinstance(part, bytes | bytearray):
        return False
    head = bytes(part[:_HEAD])
    return served_format(head) is not None or heif.kind_of(head) is not None
