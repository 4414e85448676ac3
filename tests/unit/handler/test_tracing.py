"""Spans in the process, by OpenTelemetry's own exporter to memory."""

import sys
from dataclasses import dataclass, field

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from handler.answer import Model
from handler.request_context import RequestContext
from handler.stage_times import Stage
from handler.tracing import Tracing

MODEL = Model("age", "1.0", "abc123")
START = 1_700_000_000_000_000_000
STAGES = (Stage("decode", START, 0.25), Stage("detect", START + 250_000_000, 0.5))
FACTS: dict[str, int | str] = {"status": 200, "outcome": "answered", "faces": 2}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Collected:
    """Tracing whose spans stay in memory."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def tracing(self, part: float = 1.0) -> Tracing:
        """Of which a part of the traces that begin here is sampled."""
        provider = TracerProvider(ParentBased(TraceIdRatioBased(part)))
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        return Tracing(provider.get_tracer("test"), MODEL)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def collected() -> Collected:
    return Collected()


def test_a_request_and_its_stages(collected: Collected) -> None:
    trace = collected.tracing().record(RequestContext("mine", "own"), FACTS, STAGES, START, 1.0)
    spans = collected.spans
    assert spans.keys() == {"predict", "decode", "detect"}
    whole = spans["predict"]
    assert whole.context is not None
    assert trace == f"{whole.context.trace_id:032x}"
    assert whole.kind is SpanKind.SERVER
    assert whole.attributes == {
        "face_age.model": "age",
        "face_age.version": "1.0",
        "face_age.weights": "abc123",
        "face_age.request_id": "mine",
        "face_age.status": 200,
        "face_age.outcome": "answered",
        "face_age.faces": 2,
    }
    assert (whole.start_time, whole.end_time) == (START, START + 1_000_000_000)
    assert whole.parent is None
    assert whole.status.status_code is StatusCode.UNSET
    detect = spans["detect"]
    assert (detect.start_time, detect.end_time) == (START + 250_000_000, START + 750_000_000)
    for stage in ("decode", "detect"):
        parent = spans[stage].parent
        assert parent is not None
        assert parent.span_id == whole.context.span_id


def test_the_callers_trace_goes_on(collected: Collected) -> None:
    request = RequestContext("mine", "own", f"00-{TRACE}-{PARENT}-01", "vendor=1")
    assert collected.tracing(part=0).record(request, FACTS, STAGES, START, 1.0) == TRACE
    parent = collected.spans["predict"].parent
    assert parent is not None
    assert (f"{parent.trace_id:032x}", f"{parent.span_id:016x}") == (TRACE, PARENT)
    assert parent.trace_state == {"vendor": "1"}


def test_a_trace_that_its_caller_does_not_sample(collected: Collected) -> None:
    request = RequestContext("mine", "own", f"00-{TRACE}-{PARENT}-00")
    assert collected.tracing().record(request, FACTS, STAGES, START, 1.0) == TRACE
    assert not collected.spans


def test_a_trace_that_is_not_sampled_here(collected: Collected) -> None:
    trace = collected.tracing(part=0).record(RequestContext("", ""), FACTS, STAGES, START, 1.0)
    assert int(trace, 16) != 0
    assert not collected.spans


def test_the_time_in_the_queue(collected: Collected) -> None:
    request = RequestContext("mine", "own", arrived=START / 1e9 - 2)
    collected.tracing().record(request, FACTS, STAGES, START, 1.0)
    queue = collected.spans["queue"]
    assert (queue.start_time, queue.end_time) == (START - 2_000_000_000, START)
    assert collected.spans["predict"].start_time == START - 2_000_000_000


def test_an_arrival_in_the_future(collected: Collected) -> None:
    request = RequestContext("mine", "own", arrived=START / 1e9 + 2)
    collected.tracing().record(request, FACTS, STAGES, START, 1.0)
    assert "queue" not in collected.spans
    assert collected.spans["predict"].start_time == START


@pytest.mark.parametrize(
    ("status", "code"), [(400, StatusCode.UNSET), (500, StatusCode.ERROR), (503, StatusCode.ERROR)]
)
def test_a_fault_of_the_service(collected: Collected, status: int, code: StatusCode) -> None:
    facts: dict[str, int | str] = {"status": status, "outcome": "Some"}
    collected.tracing().record(RequestContext("", ""), facts, STAGES, START, 1.0)
    assert collected.spans["predict"].status.status_code is code


def test_none_without_a_collector() -> None:
    assert Tracing.from_environment({}, MODEL) is None
    assert Tracing.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, MODEL) is None


def test_the_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
    assert Tracing.from_environment(environ, MODEL) is None
    message = caplog.records[0].getMessage()
    assert message.startswith("there are no traces (import of opentelemetry.sdk.trace halted")
    needed = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and needs pip install '.[tracing]'"
    assert needed in message
