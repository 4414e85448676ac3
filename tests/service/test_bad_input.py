"""Every case of tests/corpus over REST and gRPC, each followed by a good request."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from tests.corpus import encodings, faces, files, pixels
from tests.corpus.cases import File, Message, Refused, assert_outcome
from tests.corpus.files import jpeg
from tests.images import astronaut
from tests.service.exchange import over_grpc, rest
from tests.torchserve import Service

GOOD = jpeg(astronaut())
FILES = [*files.CASES, *pixels.CASES, *faces.CASES]


@cache
def made(file: File) -> bytes:
    """Of use to two tests, and mostly small."""
    return file.make(astronaut())


@pytest.fixture(scope="module")
def before(service: Service) -> Any:
    """The answer to a good request, before any bad one."""
    return rest(service, GOOD).content


@pytest.fixture
def _serves_on(service: Service, before: Any) -> Any:
    """What comes after a case: a good request, which is answered as before it."""
    yield
    assert rest(service, GOOD).content == before


def over_rest(service: Service, body: bytes, headers: Mapping[str, str] | None = None) -> Any:
    reply = rest(service, body, headers)
    assert reply.type == "application/json"
    assert reply.status == reply.content.get("code", 200)
    return reply.content


@pytest.mark.usefixtures("_serves_on")
@pytest.mark.parametrize("file", FILES, ids=str)
class TestFile:
    def test_rest(self, service: Service, file: File):
        assert_outcome(over_rest(service, made(file)), file.outcome)

    def test_grpc(self, service: Service, file: File):
        content = over_grpc(service, {"data": made(file)})
        assert_outcome(content, file.outcome)


@pytest.mark.usefixtures("_serves_on")
class TestMessage:
    @pytest.mark.parametrize("message", [c for c in encodings.CASES if c.body], ids=str)
    def test_rest(self, service: Service, message: Message):
        assert_outcome(over_rest(service, *message.body(GOOD)), message.outcome)

    @pytest.mark.parametrize("message", [c for c in encodings.CASES if c.entries], ids=str)
    def test_grpc(self, service: Service, message: Message):
        assert_outcome(over_grpc(service, message.entries(GOOD)), message.outcome)


def test_orientations_have_the_same_faces(service: Service):
    """And so has the same image without any EXIF."""
    upright = rest(service, files.png(astronaut())).content
    assert len(upright["faces"]) == 1
    for file in pixels.ORIENTATIONS:
        assert rest(service, made(file)).content == upright
        assert over_grpc(service, {"data": made(file)}) == upright


def test_names_of_cases_are_their_own():
    names = [case.name for case in (*FILES, *encodings.CASES)]
    assert len(set(names)) == len(names)
    assert {"InvalidImage", "ImageTooLarge", "UnsupportedImageFormat", "InvalidOption"} < {
        case.outcome.type
        for case in (*FILES, *encodings.CASES)
        if isinstance(case.outcome, Refused)
    }
