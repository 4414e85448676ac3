"""Spans of requests and of the stages of their batch, for OpenTelemetry.

Spans are made when a batch has ended, from the times that were taken anyway: a request that is not
sampled costs next to nothing.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from handler.answer import Model
from handler.request_context import RequestContext
from handler.stage_times import Stage

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVICE: Final = "face-age"
_NANO: Final = 1_000_000_000


class Tracing:
    """Gives a collector the spans of a model's requests."""

    def __init__(self, tracer: "Tracer", model: Model) -> None:
        self._tracer = tracer
        self._served = {
            "face_age.model": model.name,
            "face_age.version": model.version,
            "face_age.weights": model.weights,
        }

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], model: Model) -> "Tracing | None":
        """Tracing as OpenTelemetry's variables say; None if they name no collector.

        None, with a warning, where the extra `tracing` is not installed.
        """
        endpoint = next((name for name in ENDPOINTS if environ.get(name)), None)
        if endpoint is None:
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            logger.warning(
                "there are no traces (%s): %s is set, and needs pip install '.[tracing]' in the "
                "worker's Python",
                error,
                endpoint,
            )
            return None
        named = {} if environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: _SERVICE}
        provider = TracerProvider(resource=Resource.create(named))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider.get_tracer(_SERVICE), model)

    def record(
        self,
        request: RequestContext,
        facts: Mapping[str, int | str],
        stages: Sequence[Stage],
        start: int,
        seconds: float,
    ) -> str:
        """Record a request: a span from its arrival on, of its time in the queue and each stage.

        The stages are those of its whole batch. The spans join the caller's trace, if it has one.

        Args:
            facts: attributes of the request's span, without a prefix.
            start: of the batch, nanoseconds since 1970.
            seconds: of the batch.

        Returns:
            The trace's id, 32 hexadecimal digits.
        """
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {"traceparent": request.traceparent, "tracestate": request.tracestate}
        parent = TraceContextTextMapPropagator().extract(carrier)
        arrived = start if request.arrived is None else min(start, int(request.arrived * _NANO))
        span = self._tracer.start_span(
            "predict",
            parent,
            trace.SpanKind.SERVER,
            {**self._served, "face_age.request_id": request.request_id},
            start_time=arrived,
        )
        if span.is_recording():
            span.set_attributes({f"face_age.{name}": fact for name, fact in facts.items()})
            if int(facts["status"]) >= 500:
                span.set_status(trace.StatusCode.ERROR, str(facts["outcome"]))
            within = trace.set_span_in_context(span, parent)
            if arrived < start:
                self._tracer.start_span("queue", within, start_time=arrived).end(start)
            for stage in stages:
                child = self._tracer.start_span(stage.name, within, start_time=stage.start)
                child.end(stage.start + int(stage.seconds * _NANO))
        span.end(start + int(seconds * _NANO))
        return trace.format_trace_id(span.get_span_context().trace_id)
