"""Good and bad images that travel in one batch."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

import pytest

from tests.corpus import encodings
from tests.corpus.cases import Outcome, assert_outcome
from tests.images import astronaut, encoded, portrait, scaled, scene, side_by_side
from tests.service.exchange import assert_same, expected, multipart, over_grpc, rest
from tests.service.test_bad_input import FILES, made
from tests.service.test_deadline import Log
from tests.service.test_rest import JPEG, as_json, base64_of
from tests.torchserve import Service

# None has a number at the border between two roundings, where float32's last digit would show: it
# may differ with the batch where a processor sums in another order.
GOOD = {
    "portrait": encoded(astronaut(), "JPEG", quality=95),
    "half size": encoded(scaled(astronaut(), 0.5)),
    "two faces": encoded(side_by_side(scaled(astronaut(), 1.5), astronaut()), "WEBP"),
    "fills the frame": encoded(portrait()),
    "no face": encoded(scene(200, 300)),
}
BAD = {
    "truncated": (JPEG[:5000], 400, "InvalidImage"),
    "PDF": (b"%PDF-1.4", 415, "UnsupportedImageFormat"),
    "empty": (b"", 400, "InvalidRequest"),
}
PATIENT = "2.0"  # waits a second for a batch of eight, and answers 100 - the age of 1.0
BATCH, BAD_OF_BATCH = 8, 5

Ask = Callable[[Service], Any]  # gives the JSON of the answer or of the failure


def ask_rest(service: Service, image: bytes):
    reply = rest(service, image, path=f"/predictions/age/{PATIENT}")
    return reply.status, reply.content


def ask_grpc(service: Service, image: bytes):
    content = over_grpc(service, {"data": image}, PATIENT)
    return content.get("code", 200), content


def complement(content):
    """The answer of 1.0 as 2.0 gives it."""
    for face in content["faces"]:
        low, high = face["age_interval"]
        face["age"] = 100 - face["age"]
        face["age_interval"] = [max(0, face["age"] - 10), face["age"] + 10]
        assert high - low <= 20.1
    return content


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param([ask_rest] * 8, id="REST"),
        pytest.param([ask_grpc] * 8, id="gRPC"),
        pytest.param([ask_rest, ask_grpc] * 4, id="both"),
    ],
)
def test_each_item_is_answered_for_itself(service: Service, model_file, ways):
    images = [*GOOD.values(), *(body for body, _, _ in BAD.values())]
    with ThreadPoolExecutor(len(images)) as pool:
        futures = [
            pool.submit(way, service, image) for way, image in zip(ways, images, strict=True)
        ]
        outcomes = [future.result() for future in futures]

    for image, (status, content) in zip(GOOD.values(), outcomes, strict=False):
        assert status == 200
        assert_same(content, complement(expected(model_file, image)))
    for (_, code, kind), (status, content) in zip(BAD.values(), outcomes[len(GOOD) :], strict=True):
        assert (status, content["code"], content["type"]) == (code, code, kind)


def test_alone_as_in_a_batch(service: Service):
    alone = {name: ask_rest(service, image)[1] for name, image in GOOD.items()}
    copies = [(name, body) for name, body in GOOD.items() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda copy: ask_rest(service, copy[1])[1], copies))
    for (name, _), content in zip(copies, answers, strict=True):
        assert content == alone[name]


def posted(body: bytes, headers: Mapping[str, str] | None = None) -> Ask:
    return lambda service: rest(service, body, headers, f"/predictions/age/{PATIENT}").content


def called(entries: Mapping[str, bytes]) -> Ask:
    return lambda service: over_grpc(service, entries, PATIENT)


def good() -> Iterator[Ask]:
    """In every spelling, with options and without."""
    for image in GOOD.values():
        yield posted(image)
        yield called({"data": image})
    two = GOOD["two faces"]
    yield posted(*multipart({"data": (two, "image/webp"), "max_faces": (b"1", None)}))
    yield posted(*as_json(data=base64_of(two), min_confidence=0.5))
    yield posted(two, {"X-Max-Faces": "1"})
    yield called({"data": two, "min_confidence": b"0.5"})


def bad() -> Iterator[tuple[Ask, Outcome]]:
    """Every case of tests/bad_input, in each way that it is sent."""
    for file in FILES:
        yield posted(made(file)), file.outcome
        yield called({"data": made(file)}), file.outcome
    for message in encodings.CASES:
        if message.body:
            yield posted(*message.body(JPEG)), message.outcome
        if message.entries:
            yield called(message.entries(JPEG)), message.outcome


def test_among_bad_ones_as_alone(service: Service) -> None:
    """To the last printed digit."""
    alone = [(ask, ask(service)) for ask in good()]
    good_ones, bad_ones, log, batches = cycle(alone), bad(), Log(service), 0
    with ThreadPoolExecutor(BATCH) as pool:
        while cases := list(islice(bad_ones, BAD_OF_BATCH)):
            beside = list(islice(good_ones, BATCH - BAD_OF_BATCH))
            asks = [ask for ask, _ in (*cases, *beside)]
            answers = list(pool.map(lambda ask: ask(service), asks))
            for (_, outcome), content in zip(cases, answers, strict=False):
                assert_outcome(content, outcome)
            assert answers[len(cases) :] == [content for _, content in beside]
            batches += 1
    assert log.handed_over() < 1.5 * batches  # or they did not travel together
