"""A process that calls the pipeline with images from its memory, for `DirectTarget`.

    python -m bench.comparison.direct_worker SOCKET MODEL CONFIG

CONFIG is a model-config.yaml. A line of JSON names the images of a batch, a line answers them.
"""

import argparse
import json
import socket
from pathlib import Path
from typing import Any

import torch
import yaml

from bench.ages import age
from bench.comparison.workloads import read
from handler.answer import Answer
from handler.errors import Failure
from handler.malloc import keep_freed_memory
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.settings import Settings


class Worker:
    """A pipeline and the images that it was asked for last."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._folder = ""
        self._requests: list[Request] = []

    def answer(self, line: bytes) -> bytes:
        """The answers to the batch that `line` names."""
        order = json.loads(line)
        if order["folder"] != self._folder:
            self._folder = order["folder"]
            self._requests = [Request(body) for body in read(Path(self._folder))]
        batch = [self._requests[image] for image in order["images"]]
        return json.dumps([_content(o) for o in self._pipeline.run(batch)]).encode() + b"\n"


def _content(outcome: Answer | Failure) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return {"type": outcome.type, "message": outcome.message}
    faces = [{"box": face.box, "age": age(face)} for face in outcome.faces or ()]
    return {"width": outcome.width, "height": outcome.height, "faces": faces}


def main() -> None:
    parser = argparse.ArgumentParser(description="Call the pipeline, for bench/compare.py.")
    parser.add_argument("socket", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("config", type=Path)
    arguments = parser.parse_args()
    config = yaml.safe_load(arguments.config.read_text())
    settings = Settings.from_mapping(config["handler"])
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = Pipeline.load([arguments.model], settings, device)
    pipeline.warm_up(config["batchSize"])
    worker = Worker(pipeline)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(arguments.socket))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                for line in stream:
                    stream.write(worker.answer(line))
                    stream.flush()


if __name__ == "__main__":
    main()
