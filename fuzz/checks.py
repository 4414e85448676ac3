"""What must hold for any bytes at all: the assertions of the fuzzers, and of the tests."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from handler.errors import Failure
from handler.imaging.decode import DecodedImage, decode, decode_reduced
from handler.requests import Request, parse

MAX_PIXELS: Final = 250_000
SIDE: Final = 32  # that a JPEG may be reduced to
SECONDS: Final = 2.0  # of the processor, instrumented or not
MESSAGE_LENGTH: Final = 1000
OF_DECODING: Final = {
    "InvalidImage": 400,
    "ImageTooLarge": 413,
    "UnsupportedImageFormat": 415,
}
TASKS: Final = ("age", "emotion")  # that a request can choose from
OF_REQUESTS: Final = {"InvalidRequest": 400, "InvalidOption": 400}


def check_decoding(body: bytes) -> None:
    """Whole and reduced, `body` is the same failure, or an image of at most `MAX_PIXELS`."""
    with _bounded():
        whole = _decoded(body, None)
        reduced = _decoded(body, SIDE)
    if isinstance(whole, Failure) or isinstance(reduced, Failure):
        assert type(whole) is type(reduced), (whole, reduced)
        assert isinstance(whole, Failure)
        _check_failure(whole, OF_DECODING)
        return
    assert (whole.width, whole.height) == (reduced.width, reduced.height)
    assert whole.image.shape == (whole.height, whole.width, 3)
    assert whole.width * whole.height <= MAX_PIXELS
    for found in (whole, reduced):
        assert found.image.dtype == np.uint8
        assert found.image.ndim == 3
        assert 0 < found.image.size <= 3 * MAX_PIXELS


def check_request(message: bytes) -> None:
    """What `row_and_headers` makes of `message` is an image with valid options, or a 400."""
    row, headers = row_and_headers(message)
    with _bounded():
        try:
            request = parse(row, headers, (), TASKS)
        except Failure as failure:
            _check_failure(failure, OF_REQUESTS)
            return
    assert isinstance(request, Request)
    assert type(request.image) is bytes
    assert request.image
    options = request.options
    assert 0 <= options.min_confidence <= 1
    for count in (options.max_faces, options.top_k):
        assert type(count) is int
        assert 1 <= count <= 1000
    assert set(options.attributes) <= set(TASKS)
    assert len(set(options.attributes)) == len(options.attributes)
    assert options.rotate in ("", "auto")
    assert options.annotate in ("", "jpeg", "png")
    for flag in (options.distribution, options.quality, options.relative):
        assert type(flag) is bool


def row_and_headers(message: bytes) -> tuple[dict[str, object], dict[str, str]]:
    """A request written as a seed is: header lines, an empty line, and the body.

    The first line says what TorchServe takes the body for: `json` is read as it does; `parts` are
    `name=value`, with a line of two dashes between them; anything else is bytes.
    """
    head, _, body = message.partition(b"\n\n")
    kind, *lines = head.decode("latin-1").split("\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if kind == "parts":
        parts = (part.partition(b"=") for part in body.split(b"\n--\n") if part)
        return {name.decode(errors="replace"): bytearray(v) for name, _, v in parts}, headers
    if kind == "json":
        try:
            return {"body": json.loads(body.decode())}, headers
        except (ValueError, RecursionError):
            pass
    return {"body": bytearray(body)}, headers


def _decoded(body: bytes, side: int | None) -> DecodedImage | Failure:
    try:
        if side is not None:
            return decode_reduced(body, MAX_PIXELS, side)
        image = decode(body, MAX_PIXELS)
        return DecodedImage(image, image.shape[1], image.shape[0])
    except Failure as failure:
        return failure


def _check_failure(failure: Failure, known: dict[str, int]) -> None:
    assert known[failure.type] == failure.code
    assert 0 < len(failure.message) <= MESSAGE_LENGTH
    json.dumps({"message": failure.message}).encode("ascii")


@contextmanager
def _bounded() -> Iterator[None]:
    start = time.thread_time()
    yield
    seconds = time.thread_time() - start
    assert seconds < SECONDS, f"took {seconds:.1f} s"
