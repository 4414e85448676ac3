"""Non-maximum suppression within groups of boxes, by torchvision's operator.

Only the operator's library is loaded: importing torchvision takes 80 MB of every worker's memory.
"""

import torch
from torch import Tensor

from handler.packages import package_folder

# Up to this many boxes, one call that also compares different groups is faster than one per group.
# On a GPU a call for each group would be hundreds; this many boxes take 128 MiB.
TOGETHER = {"cpu": 1000, "cuda": 2**15}


def _load_operators() -> None:
    (library,) = (
        path
        for path in package_folder("torchvision").glob("_C.*")
        if path.suffix in (".so", ".pyd")
    )
    torch.ops.load_library(library)


_load_operators()


def nms(boxes: Tensor, scores: Tensor, group: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes to keep, best first, int64 [m].

    A box is dropped if its IoU with a better one of its group is above `threshold`.

    Args:
        boxes: float32 [n, 4], left, top, right, bottom.
        scores: float32 [n].
        group: int64 [n].
    """
    if not len(boxes):
        return torch.zeros_like(group)
    nms = torch.ops.torchvision.nms
    if len(boxes) <= TOGETHER[boxes.device.type]:
        # shifted so that boxes of different groups do not intersect
        low, high = boxes.aminmax()
        kept: Tensor = nms(boxes + (group * (high - low + 1))[:, None], scores, threshold)
        return kept
    parts = [(group == each).nonzero()[:, 0] for each in group.unique()]
    kept = torch.cat([part[nms(boxes[part], scores[part], threshold)] for part in parts])
    return kept[scores[kept].argsort(descending=True)]
