"""`Ages` behind FastAPI: `NAIVE_MODEL=age.pt uvicorn bench.naive.app:app`.

Torch's arithmetic in several Python threads of one process is slower than in one after the other,
so a process answers one image at a time.
"""

import os
import threading
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import Body, FastAPI

from bench.naive.ages import Ages, Detector

app = FastAPI()
one_at_a_time = threading.Lock()
ages = Ages(
    Path(os.environ["NAIVE_MODEL"]),
    Detector(),
    torch.device("cuda" if torch.cuda.is_available() else "cpu"),
)


@app.post("/predictions/age")
def predict(body: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
    """The image as the body."""
    with one_at_a_time:
        return ages.answer(body)
