"""The spans that a real TorchServe's worker sends to a collector of OTLP."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.service.exchange import over_grpc, rest
from tests.service.test_rest import JPEG
from tests.torchserve import Service, running

pytestmark = pytest.mark.service
STAGES = {"decode", "detect", "crop", "estimate", "respond"}
SPAN = "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent, by their traces, and the names of the services."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Export)
        self.spans: list[Span] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def trace(self, trace: str, count: int) -> dict[str, Span]:
        """The spans of a trace by their names, once there are so many."""
        deadline = time.monotonic() + 30
        while True:
            found = [span for span in self.spans if span.trace_id.hex() == trace]
            if len(found) == count:
                return {span.name: span for span in found}
            assert time.monotonic() < deadline, [span.name for span in found]
            time.sleep(0.1)


class _Export(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_spans:
            self.server.services |= {
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        del args


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def traced(
    model_store: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """TorchServe that samples none of the traces that begin with it, all that a caller samples."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0",
        "TS_DEFAULT_WORKERS_PER_MODEL": "1",
    }
    state = tmp_path_factory.mktemp("traced")
    with running(model_store, state, "--models", "age=age.mar", environ=environ) as service:
        yield service


def test_the_spans_join_the_callers_trace(traced: Service, collector: Collector) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    arrived = time.time() - 0.5
    headers = {
        "traceparent": f"00-{trace}-{SPAN}-01",
        "X-Request-Id": "order-7",
        "X-Request-Start": f"t={arrived:.3f}",
    }
    assert rest(traced, JPEG, headers).status == 200
    spans = collector.trace(trace, 7)
    assert spans.keys() == {"predict", "queue"} | STAGES
    whole = spans["predict"]
    assert whole.parent_span_id.hex() == SPAN
    assert whole.start_time_unix_nano == pytest.approx(arrived * 1e9, abs=1e6)
    attributes = {each.key: each.value for each in whole.attributes}
    assert attributes["face_age.request_id"].string_value == "order-7"
    assert attributes["face_age.faces"].int_value == 1
    for name in {"queue"} | STAGES:
        span = spans[name]
        assert span.parent_span_id == whole.span_id
        assert whole.start_time_unix_nano <= span.start_time_unix_nano
        # the stages are timed by another clock than the whole
        assert span.end_time_unix_nano <= whole.end_time_unix_nano + 1e6
    assert collector.services == {"face-age"}


def test_a_call_over_grpc(traced: Service, collector: Collector) -> None:
    trace = "1af7651916cd43dd8448eb211c80319c"
    entries = {"data": b"%PDF-1.7", "traceparent": f"00-{trace}-{SPAN}-01".encode()}
    assert over_grpc(traced, entries)["code"] == 415
    spans = collector.trace(trace, 2)
    attributes = {each.key: each.value for each in spans["predict"].attributes}
    assert attributes["face_age.outcome"].string_value == "UnsupportedImageFormat"
    assert spans.keys() == {"predict", "decode"}


def test_what_is_not_sampled_is_not_sent(traced: Service, collector: Collector) -> None:
    before = len(collector.spans)
    rest(traced, JPEG)
    trace = "2af7651916cd43dd8448eb211c80319c"
    rest(traced, JPEG, {"traceparent": f"00-{trace}-{SPAN}-00"})
    sampled = "3af7651916cd43dd8448eb211c80319c"
    rest(traced, JPEG, {"traceparent": f"00-{sampled}-{SPAN}-01"})
    collector.trace(sampled, 6)  # which come after the others
    assert len(collector.spans) == before + 6
