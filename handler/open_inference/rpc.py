"""Responses of the open inference protocol over gRPC, which TorchServe has off by default.

TorchServe parses the response to ModelInfer without a check, and a response of another shape ends
the worker.
"""

import json

from handler.answer import Model


def model_infer_response(body: bytes, model: Model) -> bytes:
    """A ModelInfer response with `body`, an encoded answer or failure, as its only output."""
    output = {"name": "answer", "datatype": "BYTES", "shape": [1], "data": [body.decode()]}
    content = {
        "id": "",
        "model_name": model.name,
        "model_version": model.version,
        "outputs": [output],
    }
    return json.dumps(content).encode("ascii")
