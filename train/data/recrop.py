"""Crops images of prepared data sets once more, for a model that takes other crops."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from handler.errors import Failure
from handler.task import FaceInput, ImageInput
from train.configuration.tasks import task_labels
from train.data.cache import CropLabel
from train.data.crop_maker import CropMaker
from train.data.readers import read
from train.data.samples import Sample


def recropped(
    config: DictConfig, labels: Sequence[CropLabel], taken: FaceInput | ImageInput
) -> Tensor:
    """Crops as `taken` of the images of `labels`, in their order, uint8 [n, 3, S, S].

    They are made from the files of `data.sources`. Raises ValueError if one is missing, cannot be
    read, or has no face.
    """
    samples: dict[tuple[str, str], Sample] = {}
    for name in {label.source for label in labels}:
        if name not in config.data.sources:
            raise ValueError(f"data.sources.{name} is missing: set it to the images' folder")
        root, tight = Path(config.data.sources[name]), bool(config.data.tight.get(name))
        found, _ = read(name, root, task_labels(config), tight=tight)
        samples |= {(name, sample.file): sample for sample in found}
    maker = CropMaker(taken, config.crop.min_face_size, config.crop.max_side)
    detector = maker.build_detector()
    crops = []
    for label in labels:
        try:
            crops.append(maker.served(samples[label.source, label.file], detector))
        except KeyError:
            raise ValueError(f"{label.source}: {label.file} is missing") from None
        except (OSError, Failure, ValueError) as error:
            raise ValueError(f"{label.source}: {label.file}: {error}") from error
    return torch.from_numpy(np.stack(crops))
