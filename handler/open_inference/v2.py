"""Version 2: tensors of image files -> a tensor with the JSON of each answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handler.answer import Answer, Model
from handler.errors import Failure, InvalidRequest
from handler.json_bodies import parse_json, shown
from handler.open_inference.parts import Limits, known_keys, parameters
from handler.open_inference.tensors import HEADER, Binary, parse_tensor
from handler.options import of_parts
from handler.requests import Request
from handler.responses import Response, encode

OUTPUT: Final = "answer"
# KServe's client repeats the model's name, which the path gave TorchServe
_KEYS: Final = ("id", "parameters", "inputs", "outputs", "model_name", "model_version")
_OF_OUTPUTS: Final = ("name", "parameters")
_ALL_BINARY: Final = "binary_data_output"
_ID_LENGTH: Final = 1024  # characters
_USAGE: Final = (
    'send {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["<base64>"]}]}'
)


@dataclass(frozen=True)
class V2:
    """The images of a request, and how their answers are wanted."""

    items: tuple[Request | Failure, ...]
    id: str | None
    binary: bool  # whether the answers follow the JSON

    def response(self, outcomes: Sequence[Answer | Failure], model: Model) -> Response:
        """The JSON of an answer or a failure for each image, in order."""
        answers = [encode(outcome, model) for outcome in outcomes]
        output: dict[str, object] = {"name": OUTPUT, "shape": [len(answers)], "datatype": "BYTES"}
        binary = b"".join(len(each).to_bytes(4, "little") + each for each in answers)
        if self.binary:
            output["parameters"] = {"binary_data_size": len(binary)}
        else:
            output["data"] = [each.decode("ascii") for each in answers]
        content: dict[str, object] = {"model_name": model.name, "model_version": model.version}
        if self.id is not None:
            content["id"] = self.id
        content["outputs"] = [output]
        body = json.dumps(content, separators=(",", ":")).encode("ascii")
        if not self.binary:
            return Response(body)
        headers = {"Inference-Header-Content-Length": str(len(body))}
        return Response(body + binary, "application/octet-stream", headers=headers)


def parse_body(body: bytes | bytearray, limits: Limits) -> V2:
    """The images of a body whose header says how long its JSON is; raises as `parse`."""
    length = limits.headers[HEADER]
    if not (length.isascii() and length.isdecimal() and len(length) < 10):
        raise InvalidRequest(f"{HEADER.title()} is {shown(length)}; it is a number of bytes")
    if int(length) > len(body):
        raise InvalidRequest(f"{HEADER.title()} is {length}, and the body has {len(body)} bytes")
    content = parse_json(body[: int(length)], _USAGE)
    if not isinstance(content, dict) or "inputs" not in content:
        raise InvalidRequest(f'the JSON body has no "inputs"; {_USAGE}')
    return parse(content, limits, memoryview(body)[int(length) :])


def parse(
    content: Mapping[str, object],
    limits: Limits,
    binary: memoryview = memoryview(b""),  # noqa: B008
) -> V2:
    """The images of a body, and of the bytes that follow its JSON.

    Raises InvalidRequest and InvalidOption where the whole request is at fault.
    """
    known_keys(content, _KEYS, "a request with inputs")
    name = content.get("id")
    if name is not None and not (isinstance(name, str) and len(name) <= _ID_LENGTH):
        raise InvalidRequest(f"id is {shown(name)}; it is a text of {_ID_LENGTH} letters at most")
    inputs = content["inputs"]
    if not isinstance(inputs, list):
        raise InvalidRequest(f'"inputs" is {shown(inputs)}; {_USAGE}')
    given = parameters(content, "the request")
    all_binary = _flag(given.pop(_ALL_BINARY, False), _ALL_BINARY)
    wanted = _binary_output(content.get("outputs"), all_binary)
    options = limits.options(of_parts(given))
    tensors = [parse_tensor(each) for each in inputs]
    limits.check_images(sum(tensor.images for tensor in tensors))
    follows = Binary(binary)
    images = [image for tensor in tensors for image in tensor.read(follows)]
    follows.check_end()
    items = tuple(i if isinstance(i, Failure) else limits.request(i, options) for i in images)
    return V2(items, name, wanted)


def _binary_output(outputs: object, by_default: bool) -> bool:
    if outputs is None or outputs == []:
        return by_default
    if not isinstance(outputs, list) or len(outputs) > 1 or not isinstance(outputs[0], dict):
        raise InvalidRequest(f'"outputs" is {shown(outputs)}; ask for the only one, {OUTPUT}')
    (output,) = outputs
    known_keys(output, _OF_OUTPUTS, "an output")
    if output.get("name") != OUTPUT:
        raise InvalidRequest(f"there is no output {shown(output.get('name'))}, only {OUTPUT}")
    given = parameters(output, "the output")
    known_keys(given, ("binary_data",), "parameters of an output")
    return _flag(given.get("binary_data", by_default), "binary_data")


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} is {shown(value)}; it is true or false")
    return value
