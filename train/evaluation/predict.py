"""Predictions of networks and exported files for prepared crops."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handler.contract import Contract
from handler.predictions import Predictions, predictions
from handler.predictor import Predictor
from train.data.dataset import CropDataset
from train.data.readers import warn_of_repeats
from train.modeling.finite import refuse_predictions
from train.modeling.network import Network

CHUNK = 64  # crops in a call


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def file_predictions(model: Path, dataset: CropDataset, batch_size: int) -> Predictions:
    """Predictions of an exported file for a data set with crops of its size.

    Raises ValueError for predictions that are not finite.
    """
    # in full precision: figures must not depend on the machine
    predictor = Predictor.load(model, device(), "float32")
    warn_of_repeats([*predictor.contract.data, *(label.source for label in dataset.labels)])
    crops = dataset.crops.numpy()
    found = _joined(
        [predictor.predict(crops[i : i + batch_size]) for i in range(0, len(crops), batch_size)]
    )
    refuse_predictions(model, found)
    return found


def _joined(parts: Sequence[Predictions]) -> Predictions:
    kind = type(parts[0])
    return kind(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(kind)))


@torch.inference_mode()
def network_predictions(network: Network, crops: Tensor, contract: Contract) -> Predictions:
    """Predictions of `network` for its inputs, uint8 [n, 3, C, C], read as `contract` says."""
    on = next(network.parameters()).device
    parts = [network(part.to(on)).cpu() for part in crops.split(CHUNK)]
    return predictions(torch.cat(parts), contract)
