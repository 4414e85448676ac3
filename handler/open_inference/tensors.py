"""Tensors of version 2 that hold image files: BYTES, and UINT8 of a file's bytes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handler.errors import Failure, InvalidRequest
from handler.json_bodies import shown
from handler.open_inference.parts import image_in, known_keys, parameters

HEADER: Final = "inference-header-content-length"  # bytes of JSON before the tensors'
_KEYS: Final = ("name", "shape", "datatype", "data", "parameters")
_SIZE: Final = "binary_data_size"
_LENGTH: Final = 4  # bytes before each element of BYTES, little endian
_MOST_DIMENSIONS: Final = 8


class Binary:
    """The bytes that follow the JSON of a request, taken by one tensor after the other."""

    def __init__(self, content: memoryview) -> None:
        self._content = content

    def take(self, size: object, name: str) -> memoryview:
        """The next bytes; raises InvalidRequest where there are not as many."""
        if type(size) is not int or not 0 <= size <= len(self._content):
            raise InvalidRequest(
                f"{_SIZE} of the tensor {name} is {shown(size)}, "
                f"and {len(self._content)} bytes follow; see the header "
                "Inference-Header-Content-Length"
            )
        taken, self._content = self._content[:size], self._content[size:]
        return taken

    def check_end(self) -> None:
        """Raise InvalidRequest if bytes are left."""
        if len(self._content):
            raise InvalidRequest(f"{len(self._content)} bytes belong to no tensor")


@dataclass(frozen=True)
class Tensor:
    """The head of an input; `images` is how many files it holds."""

    name: str  # shown
    datatype: str
    shape: tuple[int, ...]
    data: object  # None where it follows the JSON
    binary_size: object  # None where it is in the JSON

    @property
    def images(self) -> int:
        """UINT8 has a file in each row."""
        return math.prod(self.shape if self.datatype == "BYTES" else self.shape[:-1])

    def read(self, binary: Binary) -> list[bytes | Failure]:
        """The files, in order; in JSON one in bad base64 is its own failure.

        Raises InvalidRequest where the data do not agree with the shape.
        """
        if self.binary_size is not None:
            content = binary.take(self.binary_size, self.name)
            return self._elements(content) if self.datatype == "BYTES" else self._rows(content)
        values = _flat(self.data, len(self.shape), self.name)
        if len(values) != math.prod(self.shape):
            raise self._fault(f"{len(values)} values")
        if self.datatype == "BYTES":
            return [_decoded(value) for value in values]
        try:
            return self._rows(memoryview(bytes(values)))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InvalidRequest(
                f"data of the tensor {self.name} has a value that is no whole number from 0 to 255"
            ) from None

    def _rows(self, content: memoryview) -> list[bytes | Failure]:
        width = self.shape[-1]
        if len(content) != self.images * width:
            raise self._fault(f"{len(content)} bytes")
        return [_filled(content[i * width : (i + 1) * width]) for i in range(self.images)]

    def _elements(self, content: memoryview) -> list[bytes | Failure]:
        found: list[bytes | Failure] = []
        at = 0
        while at + _LENGTH <= len(content) and len(found) < self.images:
            end = at + _LENGTH + int.from_bytes(content[at : at + _LENGTH], "little")
            if end > len(content):
                break
            found.append(_filled(content[at + _LENGTH : end]))
            at = end
        if at != len(content) or len(found) != self.images:
            raise self._fault("other elements: 4 bytes of length before each, little endian")
        return found

    def _fault(self, given: str) -> InvalidRequest:
        return InvalidRequest(f"the tensor {self.name} of shape {list(self.shape)} has {given}")


def parse_tensor(content: object) -> Tensor:
    """An input's head; raises InvalidRequest for what is no tensor of image files."""
    if not isinstance(content, dict):
        raise InvalidRequest(f"an input is {shown(content)}; it is a tensor, an object")
    known_keys(content, _KEYS, "a tensor")
    if not isinstance(content.get("name"), str):
        raise InvalidRequest("an input has no name")
    name = shown(content["name"])
    datatype, shape = content.get("datatype"), _shape(content, name)
    if datatype not in ("BYTES", "UINT8"):
        raise InvalidRequest(
            f"the tensor {name} is of datatype {shown(datatype)}; send image files as BYTES, or "
            "their bytes as UINT8; options go into the request's parameters"
        )
    if datatype == "UINT8" and len(shape) > 2:
        raise InvalidRequest(
            f"the tensor {name} of shape {list(shape)} seems to hold pixels; send the bytes of "
            "image files, of shape [bytes] or [images, bytes], or BYTES"
        )
    given = parameters(content, f"the tensor {name}")
    # MLServer's clients say so of what is base64 here anyway
    known_keys(given, (_SIZE, "content_type"), f"parameters of the tensor {name}")
    size = given.get(_SIZE)
    if (size is None) == (content.get("data") is None):
        raise InvalidRequest(f"the tensor {name} has either data or the parameter {_SIZE}")
    return Tensor(name, str(datatype), shape, content.get("data"), size)


def _shape(content: Mapping[str, object], name: str) -> tuple[int, ...]:
    shape = content.get("shape")
    if (
        not isinstance(shape, list)
        or not 1 <= len(shape) <= _MOST_DIMENSIONS
        or not all(type(n) is int and 0 <= n < 2**31 for n in shape)
    ):
        raise InvalidRequest(
            f"the tensor {name} has the shape {shown(shape)}; send a list of whole numbers"
        )
    return tuple(shape)


def _flat(data: object, dimensions: int, name: str) -> Sequence[object]:
    if not isinstance(data, list):
        raise InvalidRequest(f"data of the tensor {name} is {shown(data)}; it is a list")
    for _ in range(dimensions - 1):
        if not data or not all(isinstance(part, list) for part in data):
            break  # flat already, as the protocol allows
        data = [value for part in data for value in part]
    return data


def _decoded(value: object) -> bytes | Failure:
    try:
        return image_in(value, "data")
    except InvalidRequest as failure:
        return failure


def _filled(content: memoryview) -> bytes | Failure:
    return bytes(content) if len(content) else InvalidRequest("the image is empty")
