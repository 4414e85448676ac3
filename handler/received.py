"""What one row of a batch asks for, whichever form it came in, and how it is answered."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from handler.answer import Answer, Model
from handler.errors import Failure
from handler.open_inference import v1, v2
from handler.open_inference.parts import Limits
from handler.open_inference.rpc import model_infer_response
from handler.open_inference.tensors import HEADER
from handler.requests import Request, parse, parsed_json
from handler.responses import Response, response


class Received(Protocol):
    """A request's images, and the response to it."""

    @property
    def items(self) -> Sequence[Request | Failure]:
        """Its images, or the failures that they are already."""

    def response(self, outcomes: Sequence[Answer | Failure], model: Model) -> Response:
        """The response; `outcomes` are those of the items, in order."""


@dataclass(frozen=True)
class One:
    """A request with one image, or a failure."""

    item: Request | Failure

    @property
    def items(self) -> Sequence[Request | Failure]:
        """The one."""
        return (self.item,)

    def response(self, outcomes: Sequence[Answer | Failure], model: Model) -> Response:
        """The answer, its picture or the failure."""
        return response(outcomes[0], model)


@dataclass(frozen=True)
class Refused(One):
    """A request of several images that is at fault as a whole."""

    def response(self, outcomes: Sequence[Answer | Failure], model: Model) -> Response:
        """The failure, with its message as `error` too, which clients of the protocol read."""
        plain = response(outcomes[0], model)
        content = json.loads(plain.body)
        content["error"] = content["message"]
        body = json.dumps(content, separators=(",", ":")).encode("ascii")
        return Response(body, plain.media_type, plain.code, plain.phrase)


@dataclass(frozen=True)
class ModelInfer(One):
    """A ModelInfer of the open inference protocol over gRPC, of TorchServe's own package."""

    def response(self, outcomes: Sequence[Answer | Failure], model: Model) -> Response:
        """The failure in that protocol's form."""
        plain = response(outcomes[0], model)
        body = model_infer_response(plain.body, model)
        return Response(body, plain.media_type, plain.code, plain.phrase)


def receive(
    row: Mapping[str, object],
    headers: Mapping[str, str],
    repeated: Sequence[str],
    tasks: Sequence[str],
    max_images: int,
    *,
    explain: bool = False,
) -> Received:
    """Parse one row, as `handler.requests.parse` and the open inference protocol have them.

    Raises InvalidRequest and InvalidOption for a request with one image.
    """
    limits = Limits({name.lower(): v for name, v in headers.items()}, tasks, max_images, explain)
    content = row.get("body")
    is_binary = HEADER in limits.headers
    if not is_binary:
        row = parsed_json(row, limits.headers.get("content-type", ""))
        content = row.get("body")
    try:
        if is_binary and isinstance(content, bytes | bytearray):
            return v2.parse_body(content, limits)
        if isinstance(content, dict) and "instances" in content:
            return v1.parse(content, limits)
        if isinstance(content, dict) and "inputs" in content:
            return v2.parse(content, limits)
    except Failure as failure:
        return Refused(failure)
    return One(replace(parse(row, headers, repeated, tasks), explain=explain))


def outcomes_of(
    received: Sequence[Received],
    due: float,
    run: Callable[[Sequence[Request | Failure], int], Sequence[Answer | Failure]],
    at_once: int,
) -> list[list[Answer | Failure]]:
    """The outcomes of each request's images, in order.

    A request with one image waits for none of those with several, whose images must have begun by
    `due`, in seconds of time.monotonic(): else so many crowds would cost the whole batch its
    answers.
    """
    order = sorted(range(len(received)), key=lambda i: len(received[i].items))
    items = [_due(item, received[i], due) for i in order for item in received[i].items]
    found = iter(run(items, at_once))
    outcomes = {i: [next(found) for _ in received[i].items] for i in order}
    return [outcomes[i] for i in range(len(received))]


def _due(item: Request | Failure, of: Received, due: float) -> Request | Failure:
    if isinstance(item, Failure) or len(of.items) == 1:
        return item
    return replace(item, due=due)
