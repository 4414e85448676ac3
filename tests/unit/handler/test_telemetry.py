import json
import logging
from collections.abc import Iterable
from typing import Any

import pytest

from handler.answer import Answer, Model
from handler.errors import Failure, InvalidRequest
from handler.metrics import Metrics, Value
from handler.request_context import RequestContext
from handler.stage_times import Stage
from handler.telemetry import Batch, Telemetry, request_line

MODEL = Model("age", "1.0", "abc123")
START = 1_700_000_000_250_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLERS = RequestContext("mine", "own", f"00-{TRACE}-b7ad6b7169203331-01", "", 1_700_000_000.0)
STAGES = (Stage("decode", START, 0.002), Stage("detect", START, 0.03), Stage("decode", START, 0.1))


def batch(*outcomes: Answer | Failure, requests: Iterable[RequestContext] = ()) -> Batch:
    contexts = [*requests] or [RequestContext("own", "own")] * len(outcomes)
    sizes = [None if isinstance(outcome, Failure) else 1234 for outcome in outcomes]
    return Batch(contexts, sizes, [[each] for each in outcomes], STAGES, START, 0.1403)


def test_the_line_of_an_answer() -> None:
    requests = [RequestContext("own", "own"), CALLERS]
    given = batch(InvalidRequest("no"), Answer(640, 480, ()), requests=requests)
    assert json.loads(request_line(MODEL, given, 1, TRACE)) == {
        "request_id": "mine",
        "torchserve_id": "own",
        "trace_id": TRACE,
        "time": "2023-11-14T22:13:20.250Z",
        "model": "age",
        "version": "1.0",
        "weights": "abc123",
        "status": 200,
        "outcome": "answered",
        "width": 640,
        "height": 480,
        "faces": 0,
        "bytes": 1234,
        "batch": 2,
        "queued": 0.25,
        "seconds": 0.1403,
        "stages": {"decode": 0.102, "detect": 0.03},
    }


def test_the_line_of_a_failure_does_not_quote_the_request() -> None:
    line = request_line(MODEL, batch(InvalidRequest("bad: secret")), 0)
    assert "secret" not in line
    content = json.loads(line)
    assert (content["status"], content["outcome"]) == (400, "InvalidRequest")
    assert content.keys().isdisjoint(
        {"torchserve_id", "trace_id", "bytes", "width", "faces", "queued"}
    )


def test_the_line_of_several_images() -> None:
    outcomes = [[Answer(1, 1, ()), InvalidRequest("secret"), Answer(1, 1, None)]]
    given = Batch([RequestContext("own", "own")], [99], outcomes, STAGES, START, 0.1403)
    line = json.loads(request_line(MODEL, given, 0))
    assert (line["status"], line["outcome"], line["bytes"]) == (200, "answered", 99)
    assert (line["images"], line["failed"], line["faces"]) == (3, 1, 0)
    assert line.keys().isdisjoint({"width", "height", "message"})


def test_a_line_is_one_line_and_begins_with_the_id() -> None:
    # as log4j2.xml tells it from other lines
    line = request_line(MODEL, batch(Answer(1, 1, None)), 0)
    assert line.startswith('{"request_id":')
    assert "\n" not in line


def test_an_image_of_no_faces_task() -> None:
    assert "faces" not in json.loads(request_line(MODEL, batch(Answer(1, 1, None)), 0))


def test_a_clock_that_differs() -> None:
    later = RequestContext("own", "own", arrived=1_700_000_001.0)
    line = request_line(MODEL, batch(Answer(1, 1, ()), requests=[later]), 0)
    assert json.loads(line)["queued"] == 0


class Recorded:
    """Takes the values of a batch, and spans."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.spans: list[tuple[Any, ...]] = []

    def add(self, values: Iterable[Value]) -> None:
        self.values += values

    def record(self, *given: Any) -> str:
        self.spans.append(given)
        return "f" * 32


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records]


def test_a_line_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Telemetry(MODEL).record(batch(InvalidRequest("x"), Answer(1, 1, ())))
    assert [line["status"] for line in lines(caplog)] == [400, 200]


def test_no_line_where_none_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Telemetry(MODEL, log_requests=False).record(batch(Answer(1, 1, ())))
    assert not caplog.records


def test_the_callers_trace_without_tracing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Telemetry(MODEL).record(batch(Answer(1, 1, ()), requests=[CALLERS]))
    assert lines(caplog)[0]["trace_id"] == TRACE


def test_metrics_and_spans(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    recorded: Any = Recorded()
    metrics: Metrics = recorded
    given = batch(Answer(1, 1, ()), InvalidRequest("x"))
    Telemetry(MODEL, metrics, recorded).record(given)
    stages = {value.labels: value.value for value in recorded.values if len(value.labels) == 1}
    assert stages["decode",] == pytest.approx(0.102)
    assert [facts["outcome"] for _, facts, *_ in recorded.spans] == ["answered", "InvalidRequest"]
    assert {line["trace_id"] for line in lines(caplog)} == {"f" * 32}
