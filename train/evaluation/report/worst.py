"""The report's gallery of the worst errors."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from train.evaluation.held_out import AnyHeldOut
from train.evaluation.report.page import Section, gallery, image, paragraph

SHOWN = 16  # images of each source


def worst(
    images: AnyHeldOut, sources: Sequence[str], caption: Callable[[AnyHeldOut, int], str]
) -> Section:
    """The crops with the worst errors of each source."""
    kind, parts = images.kind, []
    for source in sources:
        chosen = np.flatnonzero(images.of(source))
        shown = kind.worst(images.predictions, images.truth, chosen)[:SHOWN]
        parts.append(
            paragraph(
                f"The {len(shown)} of {len(chosen)} {kind.items} of {source} with the "
                f"{kind.worst_errors}, as cropped for the model. Look for wrong labels and wrong "
                f"{kind.items}."
            )
        )
        parts.append(gallery([_crop(images, int(i), caption(images, int(i))) for i in shown]))
    return Section(f"The worst {kind.items}", parts)


def _crop(images: AnyHeldOut, index: int, caption: str) -> str:
    file = io.BytesIO()
    crop = images.dataset.crops[index].permute(1, 2, 0).numpy()
    Image.fromarray(crop).save(file, "PNG")
    name = images.dataset.labels[index].file
    return image(file.getvalue(), f"{images.kind.items.removesuffix('s')} {name}", caption)
