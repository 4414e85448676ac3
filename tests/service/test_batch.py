"""Good and bad photographs that travel in one batch."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.pictures import astronaut, encoded, portrait, scaled, scene, side_by_side
from tests.service.exchange import assert_same, expected, over_grpc, rest
from tests.service.test_rest import JPEG
from tests.torchserve import Service

GOOD = {
    "portrait": JPEG,
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


def ask_rest(service: Service, photograph: bytes):
    reply = rest(service, photograph, path=f"/predictions/age/{PATIENT}")
    return reply.status, reply.content


def ask_grpc(service: Service, photograph: bytes):
    content = over_grpc(service, {"data": photograph}, PATIENT)
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
    photographs = [*GOOD.values(), *(body for body, _, _ in BAD.values())]
    with ThreadPoolExecutor(len(photographs)) as pool:
        futures = [
            pool.submit(way, service, photograph)
            for way, photograph in zip(ways, photographs, strict=True)
        ]
        outcomes = [future.result() for future in futures]

    for photograph, (status, content) in zip(GOOD.values(), outcomes, strict=False):
        assert status == 200
        assert_same(content, complement(expected(model_file, photograph)))
    for (_, code, kind), (status, content) in zip(BAD.values(), outcomes[len(GOOD) :], strict=True):
        assert (status, content["code"], content["type"]) == (code, code, kind)


def test_alone_as_in_a_batch(service: Service):
    alone = {name: ask_rest(service, photograph)[1] for name, photograph in GOOD.items()}
    copies = [(name, body) for name, body in GOOD.items() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda copy: ask_rest(service, copy[1])[1], copies))
    for (name, _), content in zip(copies, answers, strict=True):
        assert_same(content, alone[name])
