"""Non-maximum suppression within groups of boxes, by torchvision's operator.

The operator's library is loaded by itself: the rest of torchvision, which nothing here needs, takes
80 MB of every worker's memory.
"""

import torch
from torch import Tensor

from handler.packages import package_folder

# Up to so many boxes, comparing those of different groups costs less than a call for each group.
TOGETHER = {"cpu": 1000, "cuda": 5000}


def _load_operators() -> None:
    (library,) = (
        path
        for path in package_folder("torchvision").glob("_C.*")
        if path.suffix in (".so", ".pyd")
    )
    torch.ops.load_library(library)


_load_operators()


def nms(boxes: Tensor, scores: Tensor, group: Tensor, overlap: float) -> Tensor:
    """The indices of the boxes to keep, best first, int64 [m].

    A box goes where its intersection over union with a better one of its group is above `overlap`.

    Args:
        boxes: float32 [n, 4], left, top, right, bottom.
        scores: float32 [n].
        group: int64 [n].
    """
    if not len(boxes):
        return torch.zeros_like(group)
    nms = torch.ops.torchvision.nms
    if len(boxes) <= TOGETHER[boxes.device.type]:
        # shifted so far that boxes of different groups cannot meet
        low, high = boxes.aminmax()
        kept: Tensor = nms(boxes + (group * (high - low + 1))[:, None], scores, overlap)
        return kept
    parts = [(group == each).nonzero()[:, 0] for each in group.unique()]
    kept = torch.cat([part[nms(boxes[part], scores[part], overlap)] for part in parts])
    return kept[scores[kept].argsort(descending=True)]
