"""`Ages` as a TorchServe handler, with the four steps of TorchServe's own BaseHandler."""

from pathlib import Path
from typing import Any

import torch

from bench.naive.ages import Ages, Detector


class NaiveHandler:
    """The handler that the naive archive names."""

    def initialize(self, context: Any) -> None:
        """Load the model; the key `naive` of model-config.yaml has the detector's settings."""
        properties = context.system_properties
        config = dict(context.model_yaml_config["naive"])
        torch.set_num_threads(config.pop("threads"))
        on_gpu = torch.cuda.is_available() and properties.get("gpu_id") is not None
        device = torch.device(f"cuda:{properties['gpu_id']}" if on_gpu else "cpu")
        model = Path(properties["model_dir"], context.manifest["model"]["serializedFile"])
        self._ages = Ages(model, Detector(**config), device)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """An answer for each request; TorchServe writes it as JSON."""
        return [self._ages.answer(bytes(row.get("data") or row["body"])) for row in data]
