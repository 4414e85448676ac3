"""What an operator sees of each batch: metrics, and of each request a line of JSON and spans."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from handler.answer import Answer, Model
from handler.drift import Drift
from handler.errors import Failure
from handler.metrics import ANSWERED, Metrics, values_of
from handler.request_context import RequestContext
from handler.stage_times import Stage, total_seconds
from handler.tracing import Tracing

_lines: Final = logging.getLogger("face_age.requests")


@dataclass(frozen=True)
class Batch:
    """Requests that were handled together."""

    requests: Sequence[RequestContext]
    sizes: Sequence[int | None]  # bytes of each image; None where there is no valid request
    outcomes: Sequence[Sequence[Answer | Failure]]  # of each request's images
    stages: Sequence[Stage]
    start: int  # nanoseconds since 1970
    seconds: float


class Telemetry:
    """Takes batches to the metrics, the log and the traces, as far as each is wanted."""

    def __init__(
        self,
        model: Model,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
        drift: Drift | None = None,
        *,
        log_requests: bool = True,
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._tracing = tracing
        self._drift = drift
        self._log_requests = log_requests

    def record(self, batch: Batch) -> None:
        """Give a batch to all of them."""
        if self._metrics is not None:
            seconds = total_seconds(batch.stages)
            every = [outcome for outcomes in batch.outcomes for outcome in outcomes]
            self._metrics.add(values_of(every, seconds, batch.seconds))
            if self._drift is not None:
                self._metrics.add(self._drift.add(every))
        for index, request in enumerate(batch.requests):
            trace_id = request.trace_id
            if self._tracing is not None:
                facts = _facts(batch.outcomes[index])
                trace_id = self._tracing.record(
                    request, facts, batch.stages, batch.start, batch.seconds
                )
            if self._log_requests:
                _lines.info(request_line(self._model, batch, index, trace_id))


def request_line(model: Model, batch: Batch, index: int, trace_id: str = "") -> str:
    """A request as one line of JSON: who, what came of it and how long it took.

    Nothing of its image but numbers of bytes, pixels and faces; no message, which may quote it.
    """
    request = batch.requests[index]
    # first, as log4j2.xml looks for it
    content: dict[str, object] = {"request_id": request.request_id}
    if request.torchserve_id != request.request_id:
        content["torchserve_id"] = request.torchserve_id
    if trace_id:
        content["trace_id"] = trace_id
    start = datetime.fromtimestamp(batch.start / 1e9, UTC)
    content["time"] = start.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content |= {"model": model.name, "version": model.version, "weights": model.weights}
    content |= _facts(batch.outcomes[index])
    if (size := batch.sizes[index]) is not None:
        content["bytes"] = size
    content["batch"] = len(batch.requests)
    if request.arrived is not None:
        content["queued"] = round(max(0.0, batch.start / 1e9 - request.arrived), 4)
    content["seconds"] = round(batch.seconds, 4)
    stages = total_seconds(batch.stages)
    content["stages"] = {name: round(seconds, 4) for name, seconds in stages.items()}
    return json.dumps(content, separators=(",", ":"))


def _facts(outcomes: Sequence[Answer | Failure]) -> dict[str, int | str]:
    """What came of a request; of one with several images, their numbers."""
    if len(outcomes) > 1:
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        faces = sum(len(answer.faces or ()) for answer in answers)
        return {
            "status": 200,
            "outcome": ANSWERED,
            "images": len(outcomes),
            "failed": len(outcomes) - len(answers),
            "faces": faces,
        }
    (outcome,) = outcomes
    if isinstance(outcome, Failure):
        return {"status": outcome.code, "outcome": outcome.type}
    facts: dict[str, int | str] = {"status": 200, "outcome": ANSWERED}
    facts |= {"width": outcome.width, "height": outcome.height}
    if outcome.faces is not None:
        facts["faces"] = len(outcome.faces)
    return facts
