"""Every case of tests/corpus in batches with good images, which do not notice."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from handler.answer import Answer, Model
from handler.errors import Failure
from handler.pipeline import Pipeline
from handler.requests import Request, parse
from handler.responses import encode
from handler.settings import Settings
from tests.corpus import encodings, faces, files, pixels
from tests.corpus.cases import Outcome, Refused, assert_outcome
from tests.images import astronaut, encoded, portrait, scaled, scene, side_by_side
from tests.unit.handler.answers import answered

GOOD = [
    # at 75 a corner would lie a rounding away from another tenth of a pixel
    Request(encoded(astronaut(), "JPEG", quality=95)),
    Request(encoded(scaled(astronaut(), 0.5))),
    Request(encoded(side_by_side(scaled(astronaut(), 0.8), astronaut()), "WEBP")),
    Request(encoded(portrait())),
    Request(encoded(scene(200, 300))),
]
BATCH = 8
BAD_OF_BATCH = 5

Item = Request | Failure


def item(row: dict[str, object], headers: dict[str, str] | None = None) -> Item:
    try:
        return parse(row, headers or {}, (), ("age",))
    except Failure as failure:
        return failure


def content(outcome: Answer | Failure) -> Any:
    """What a client gets."""
    return json.loads(encode(outcome, Model("age", "1.0", "")))


def cases() -> list[tuple[str, Item, Outcome]]:
    """Name, what the handler is given, and what comes of it."""
    found = []
    for file in (*files.CASES, *pixels.CASES, *faces.CASES):
        body = bytearray(file.make(astronaut()))
        found.append((file.name, item({"body": body}), file.outcome))
    for message in encodings.CASES:
        if message.entries:
            row = {n: bytearray(value) for n, value in message.entries(GOOD[0].image).items()}
            found.append((message.name, item(dict(row)), message.outcome))
        elif message in encodings.IN_JSON and message.body:
            body, headers = message.body(GOOD[0].image)
            found.append((message.name, item({"body": bytearray(body)}, headers), message.outcome))
    return found


@pytest.fixture(scope="module")
def pipeline(model_file: Path) -> Pipeline:
    return Pipeline.load([model_file], Settings(), torch.device("cpu"))


@pytest.fixture(scope="module")
def alone(pipeline: Pipeline) -> list[Answer]:
    return [answered(pipeline.run([request])[0]) for request in GOOD]


def test_mixed(pipeline: Pipeline, alone: list[Answer]) -> None:
    """In batches of eight, and all of them in one."""
    everything = cases()
    good = itertools.cycle(range(len(GOOD)))
    mixed: list[tuple[str, Item, Outcome | int]] = []
    for number, case in enumerate(everything):
        if number % BAD_OF_BATCH == 0:
            mixed += [("good", GOOD[n], n) for n in itertools.islice(good, BATCH - BAD_OF_BATCH)]
        mixed.append(case)
    for size in (BATCH, len(mixed)):
        for start in range(0, len(mixed), size):
            batch = mixed[start : start + size]
            outcomes = pipeline.run([request for _, request, _ in batch])
            assert_each(batch, outcomes, alone)


def assert_each(
    batch: Sequence[tuple[str, Item, Outcome | int]],
    outcomes: Sequence[Answer | Failure],
    alone: list[Answer],
) -> None:
    for (name, _, wanted), outcome in zip(batch, outcomes, strict=True):
        if isinstance(wanted, int):
            assert content(outcome) == content(alone[wanted]), name
        elif isinstance(wanted, Refused):
            assert isinstance(outcome, Failure), name
            assert (outcome.code, outcome.type) == (wanted.code, wanted.type), name
        else:
            assert_outcome(content(outcome), wanted)
