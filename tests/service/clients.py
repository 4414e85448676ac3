"""Asks with other people's clients, in an environment of their own; prints the answers as JSON.

PYTHON -m tests.service.clients CLIENT URL MODEL IMAGE...   (CLIENT: triton, triton-json, kserve-v1,
kserve-v2)
"""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any


def triton(address: str, model: str, images: list[bytes], *, binary: bool) -> dict[str, Any]:
    """tritonclient's HTTP client, with the binary extension or without."""
    import numpy as np
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(address)
    given = images if binary else [base64.b64encode(image) for image in images]
    tensor = InferInput("image", [len(given)], "BYTES")
    tensor.set_data_from_numpy(np.array(given, dtype=np.object_), binary_data=binary)
    outputs = None if binary else [InferRequestedOutput("answer", binary_data=False)]
    options = {"max_faces": 1}
    result = client.infer(model, [tensor], outputs=outputs, request_id="42", parameters=options)
    head = result.get_response()
    answers = [json.loads(each) for each in result.as_numpy("answer").tolist()]
    try:
        client.infer(model, [tensor], parameters={"max_face": 1})
    except InferenceServerException as error:
        refused = error.message()
    client.close()
    return {"id": head["id"], "model": head["model_name"], "answers": answers, "refused": refused}


async def kserve(address: str, model: str, images: list[bytes], version: str) -> dict[str, Any]:
    """KServe's own REST client."""
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    client = InferenceRESTClient(RESTConfig(protocol=version, timeout=60))
    texts = [base64.b64encode(image).decode() for image in images]
    if version == "v1":
        asked: Any = {"instances": [{"b64": text} for text in texts]}
        reply = await client.infer(address, asked, model_name=model)
        return {"answers": reply["predictions"]}
    tensor = InferInput("image", [len(texts)], "BYTES", texts)
    asked = InferRequest(model, [tensor], request_id="42")
    reply = await client.infer(address, asked, model_name=model)
    answers = [json.loads(each) for each in reply.outputs[0].data]
    return {"id": reply.id, "model": reply.model_name, "answers": answers}


def main() -> None:
    """Print what a client gets."""
    kind, url, model, *files = sys.argv[1:]
    images = [Path(file).read_bytes() for file in files]
    if kind.startswith("triton"):
        address = url.removeprefix("http://")
        found = triton(address, model, images, binary=kind == "triton")
    else:
        found = asyncio.run(kserve(url, model, images, kind.removeprefix("kserve-")))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
