"""Answers to the open inference protocol over gRPC, which TorchServe has where it is told to.

It is off by default. TorchServe reads an answer to ModelInfer without looking, and a worker whose
answer is of another shape ends.
"""

import json

from handler.answer import Model


def wrapped(body: bytes, model: Model) -> bytes:
    """A body for REST, an answer or a failure, as the one output of a ModelInfer response."""
    output = {"name": "answer", "datatype": "BYTES", "shape": [1], "data": [body.decode()]}
    content = {
        "id": "",
        "model_name": model.name,
        "model_version": model.version,
        "outputs": [output],
    }
    return json.dumps(content).encode("ascii")
