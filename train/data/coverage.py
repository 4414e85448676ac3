"""Whether the crops of a split show every category of a task."""

import logging
from collections.abc import Iterable

from lightning.pytorch.utilities import rank_zero_only

from handler.task import Categories
from train.files import shortened

log = logging.getLogger(__name__)


def check_classes(output: Categories, train: Iterable[str], val: Iterable[str]) -> None:
    """Check the labels of the training and the validation crops.

    Raises ValueError for categories without a training crop. Where all categories are numbers, such
    as ages, gaps are expected: these are logged, as are categories without a validation crop.
    """
    untrained, unvalidated = (_without(output, labels) for labels in (train, val))
    if untrained:
        found = f"{len(untrained)} of {output.classes} classes have no training crop"
        if not all(name.isdecimal() for name in output.names):
            raise ValueError(
                f"{found}: {shortened(untrained)}: add images, or leave them out of "
                "task.output.names"
            )
        rank_zero_only(log.warning)(
            "%s, so that they are never predicted: %s", found, shortened(untrained)
        )
    if unvalidated:
        rank_zero_only(log.warning)(
            "%d of %d classes have no validation crop, so that nothing is known of them before the "
            "test: %s",
            len(unvalidated),
            output.classes,
            shortened(unvalidated),
        )


def _without(output: Categories, labels: Iterable[str]) -> list[str]:
    """The categories that none of `labels` names."""
    named = set(labels)
    return [name for name in output.names if name not in named]
