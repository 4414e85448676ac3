"""The handler in this process, as in a TorchServe worker, for measurements."""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from handler.integrity import HASHES, listing
from handler.settings import Decoder, Precision
from handler.torchserve_handler import TorchServeHandler
from server.archive import Recipe
from server.sizing import batch_size

with warnings.catch_warnings(action="ignore"):  # TorchServe's own imports
    from ts.context import Context, RequestProcessor

ROOT = Path(__file__).resolve().parent.parent

MODEL = ROOT / "model_store" / "age.pt"
CONFIG = ROOT / "model_store" / "model-config.yaml"


class Worker:
    """The handler as a TorchServe worker starts it: settings, threads, warmed up."""

    def __init__(
        self,
        models: Sequence[Path] = (MODEL,),
        config: Path = CONFIG,
        *,
        threads: int | None = None,
        precision: Precision | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        """`models` are of one archive; what is not None overrides the config.

        Raises OSError on a missing file, and what the handler raises on a wrong one.
        """
        settings = yaml.safe_load(config.read_text())
        overrides = {"threads": threads, "precision": precision, "decoder": decoder}
        settings["handler"] = (settings.get("handler") or {}) | {
            name: value for name, value in overrides.items() if value is not None
        }
        recipe = Recipe(tuple(model.resolve(strict=True) for model in models), given_name="age")
        with tempfile.TemporaryDirectory() as folder:
            _unpacked(recipe.packed_models(), Path(folder))
            self._context = Context(
                "age",
                folder,
                {"model": recipe.manifest()},
                batch_size(),
                0 if torch.cuda.is_available() else None,
                "1.0",
                model_yaml_config=settings,
            )
            self._handler = TorchServeHandler()
            self._handler.initialize(self._context)

    @property
    def precision(self) -> str:
        """The precision of the models."""
        return self._handler.precision

    def ask(self, images: Sequence[bytes], **options: str) -> list[bytes]:
        """The answers to a batch, as bytes, in order; `options` as in headers."""
        headers = {f"x-{name.replace('_', '-')}": text for name, text in options.items()}
        headers["content-type"] = "application/octet-stream"
        self._context.request_processor = [RequestProcessor(headers) for _ in images]
        rows: list[Mapping[str, object]] = [{"body": bytearray(image)} for image in images]
        return self._handler.handle(rows, self._context)

    def contents(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """The answers to a batch, parsed."""
        return [json.loads(body) for body in self.ask(images)]


def _unpacked(models: Mapping[str, Path], folder: Path) -> None:
    """The files that the handler reads from an unpacked archive."""
    for name, model in models.items():
        (folder / name).symlink_to(model)
    (folder / HASHES).write_text(listing(models))
