"""The test images with their predictions, and the figures of groups of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from handler.contract import Calibration
from handler.predictions import CategoryPredictions, OrdinalPredictions
from train.data.dataset import CropDataset
from train.evaluation.categories import CategoryKind
from train.evaluation.kind import AnyKind, P
from train.evaluation.metrics import ALL, Figures, Mask
from train.evaluation.ordinal import OrdinalKind
from train.evaluation.results import Bounded, Results

K = TypeVar("K", bound=AnyKind)


@dataclass(frozen=True)
class HeldOut(Generic[P, K]):
    """n test images with predictions."""

    dataset: CropDataset  # n crops with their labels
    predictions: P
    kind: K

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def truth(self) -> NDArray[np.float32]:
        """True values [n]: numbers, or indices of categories."""
        truth: NDArray[np.float32] = self.dataset.target.numpy()
        return truth

    @property
    def scores(self) -> NDArray[np.float64]:
        """Values [n] whose mean is the main figure."""
        scores: NDArray[np.float64] = self.kind.scores(self.predictions, self.truth)
        return scores

    def of(self, source: str) -> Mask:
        """Mask of the images from a source."""
        return np.array([label.source == source for label in self.dataset.labels])

    def results(
        self,
        sources: Sequence[str],
        auxiliary: Mapping[str, Sequence[str]],
        calibration: Calibration,
        portraits: Bounded | None,
        resamples: int,
    ) -> Results:
        """The figures of every group of images.

        `auxiliary`: the names of further labels' values, by label. `resamples` is of the bootstrap
        intervals.
        """
        shared = (self.predictions, self.truth)

        def measured(mask: Mask) -> Figures:
            return self.kind.describe(*shared, mask, calibration, resamples)

        def groups(mask: Mask) -> Mapping[str, Figures]:
            return self.kind.by_group(*shared, mask, calibration, resamples)

        # a data set may have no test images of its own
        masks = {source: mask for source in sources if (mask := self.of(source)).any()}
        everything = np.ones(len(self), bool)
        return Results(
            self.kind,
            calibration,
            {name: measured(mask) for name, mask in masks.items()},
            {name: groups(mask) for name, mask in masks.items()},
            {ALL: measured(everything), **groups(everything)},
            {
                label: {
                    name: {value: measured(each) for value, each in labelled.items()}
                    for name, mask in masks.items()
                    for labelled in (_labelled(self.dataset.auxiliary[label], values, mask),)
                }
                for label, values in auxiliary.items()
            },
            portraits,
            confusion=self.kind.confusion(*shared),
        )


AnyHeldOut = HeldOut[Any, Any]
OrdinalHeldOut = HeldOut[OrdinalPredictions, OrdinalKind]
CategoryHeldOut = HeldOut[CategoryPredictions, CategoryKind]


def _labelled(codes: Tensor, names: Sequence[str], mask: Mask) -> dict[str, Mask]:
    """Masks of the images of `mask` with each code, by its name, without empty ones."""
    masks = {name: mask & (codes.numpy() == code) for code, name in enumerate(names)}
    return {name: each for name, each in masks.items() if each.any()}
