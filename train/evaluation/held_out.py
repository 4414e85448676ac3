"""The test faces with their predictions, and the figures of groups of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handler.contract import Calibration
from train.data.dataset import CropDataset
from train.data.readers.utkface import GENDERS, RACES
from train.evaluation.metrics import decades, describe
from train.evaluation.results import ALL, Bounded, Groups, Results

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """n test faces with predictions."""

    dataset: CropDataset  # n crops with their labels
    age: NDArray[np.float32]  # [n], years
    interval: NDArray[np.float32]  # [n, 2], years

    @property
    def truth(self) -> NDArray[np.float32]:
        """True ages [n]."""
        truth: NDArray[np.float32] = self.dataset.age.numpy()
        return truth

    @property
    def error(self) -> NDArray[np.float32]:
        """Estimated less true age [n], years."""
        return self.age - self.truth

    def of(self, source: str) -> Mask:
        """Mask of the faces from a source."""
        return np.array([label.source == source for label in self.dataset.labels])

    def results(
        self,
        sources: Sequence[str],
        calibration: Calibration,
        portraits: Bounded | None,
        resamples: int,
    ) -> Results:
        """The figures of every group of faces; `resamples` is of the bootstrap intervals."""

        def measured(masks: Mapping[str, Mask]) -> Groups:
            return {
                group: describe(self.age[mask], self.truth[mask], self.interval[mask], resamples)
                for group, mask in masks.items()
            }

        of_sources = {source: self.of(source) for source in sources}
        gender, race = self.dataset.gender.numpy(), self.dataset.race.numpy()
        everyone = np.ones(len(self.age), bool)
        return Results(
            calibration,
            measured(of_sources),
            {name: measured(self._decades(mask)) for name, mask in of_sources.items()},
            measured({ALL: everyone} | self._decades(everyone)),
            {name: measured(_coded(gender, GENDERS, mask)) for name, mask in of_sources.items()},
            {name: measured(_coded(race, RACES, mask)) for name, mask in of_sources.items()},
            portraits,
        )

    def _decades(self, mask: Mask) -> dict[str, Mask]:
        return decades(np.where(mask, self.truth, -1))


def _coded(codes: NDArray[np.int64], names: Sequence[str], mask: Mask) -> dict[str, Mask]:
    """Masks of the faces of `mask` with each code, by its name, without empty ones."""
    masks = {name: mask & (codes == code) for code, name in enumerate(names)}
    return {name: each for name, each in masks.items() if each.any()}
