"""Version 1, TensorFlow Serving's: {"instances": [...]} -> {"predictions": [...]}."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handler.answer import Answer, Model
from handler.errors import Failure, InvalidRequest
from handler.json_bodies import shown
from handler.open_inference.parts import Limits, image_in, known_keys, parameters
from handler.options import of_parts
from handler.requests import Request
from handler.responses import Response, content_of

IMAGE_KEYS: Final = ("b64", "data", "image_bytes")  # of an instance
_USAGE: Final = '{"instances": [{"b64": "<base64>"}, ...]}'


@dataclass(frozen=True)
class V1:
    """The images of a request."""

    items: tuple[Request | Failure, ...]

    def response(self, outcomes: Sequence[Answer | Failure], model: Model) -> Response:
        """An answer or a failure for each instance, in order."""
        predictions = [content_of(outcome, model) for outcome in outcomes]
        body = json.dumps({"predictions": predictions}, separators=(",", ":"), allow_nan=False)
        return Response(body.encode("ascii"))


def parse(content: Mapping[str, object], limits: Limits) -> V1:
    """The images of a body. An instance that is at fault is its own failure.

    Raises InvalidRequest and InvalidOption where the whole request is at fault.
    """
    known_keys(content, ("instances", "parameters"), "a request with instances")
    instances = content["instances"]
    if not isinstance(instances, list):
        raise InvalidRequest(f'"instances" is {shown(instances)}; send {_USAGE}')
    limits.check_images(len(instances))
    shared = of_parts(parameters(content, "the request"))
    limits.options(shared)
    return V1(tuple(_item(instance, shared, limits) for instance in instances))


def _item(instance: object, shared: Mapping[str, object], limits: Limits) -> Request | Failure:
    try:
        if isinstance(instance, str):
            return limits.request(image_in(instance, "instances"), limits.options(shared))
        if not isinstance(instance, dict):
            raise InvalidRequest(f"an instance is {shown(instance)}; send {_USAGE}")
        names = [name for name in IMAGE_KEYS if name in instance]
        if len(names) != 1:
            given = f"images as {', '.join(names)}" if names else "no image"
            raise InvalidRequest(f"an instance has {given}; send {_USAGE}")
        own = {name: value for name, value in instance.items() if name not in IMAGE_KEYS}
        image = image_in(instance[names[0]], names[0])
        return limits.request(image, limits.options(shared, own))
    except Failure as failure:
        return failure
