"""P-, R- and O-Net over pictures of any sizes together (Zhang et al., IEEE SPL 2016).

The weights of the networks are facenet-pytorch's, and so is the arithmetic: the same faces come out
as from its `detect_face`. What differs is the order of the work: the proposals of all pictures go
through R- and O-Net in shared batches, cut out by integral images and not one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import record_function
from torchvision.ops import batched_nms

from handler.areas import IntegralImages
from handler.contract import DetectorSettings
from handler.cropping import Picture
from handler.networks import Networks

CELL, STRIDE = 12, 2  # P-Net's window and step, pixels
PROPOSALS = 4000  # of one picture that R-Net looks at, the best; a crowd of 80 has 2,500
# Pixels that R- and O-Net are given at once: on the CPU what its caches hold, layers included.
PIXELS_PER_CALL = {"cpu": 2**16, "cuda": 2**22}


@dataclass(frozen=True)
class Found:
    """Faces of several pictures, in no order."""

    picture: NDArray[np.int64]  # [n]: which picture
    boxes: NDArray[np.float32]  # [n, 4] x1, y1, x2, y2
    confidence: NDArray[np.float32]  # [n]
    landmarks: NDArray[np.float32]  # [n, 5, 2]


@dataclass
class _Boxes:
    picture: Tensor  # int64 [n]
    corners: Tensor  # float32 [n, 4]
    score: Tensor  # float32 [n]

    def __getitem__(self, index: Tensor) -> "_Boxes":
        return _Boxes(self.picture[index], self.corners[index], self.score[index])

    def __len__(self) -> int:
        return len(self.score)


class Cascade:
    """The three networks of MTCNN."""

    def __init__(
        self, settings: DetectorSettings, min_face_size: int, device: torch.device
    ) -> None:
        self._networks = Networks.load(device)
        self._thresholds = settings.thresholds
        self._factor = settings.factor
        self._min_face_size = min_face_size
        self._device = device

    @torch.inference_mode()
    def detect(self, pictures: Sequence[Picture]) -> Found:
        """The faces of `pictures`, uint8 [H, W, 3] each."""
        on_device = [torch.tensor(picture, device=self._device) for picture in pictures]
        with record_function("propose"):
            images = IntegralImages(on_device)
            boxes = _squares(self._propose(images))
        with record_function("refine"):
            boxes = self._refine(images, boxes)
        with record_function("decide"):
            return self._decide(images, boxes)

    def _propose(self, images: IntegralImages) -> _Boxes:
        """P-Net over the pyramid of every picture."""
        levels = [
            (index, scale)
            for index, size in enumerate(images.sizes)
            for scale in self._scales(min(size))
        ]
        if not levels:
            nothing = torch.zeros(0, device=self._device)
            return _Boxes(nothing.long(), nothing.view(0, 4), nothing)
        found = [self._cells(images, index, scale) for index, scale in levels]
        cells, scores, features = (torch.cat(parts) for parts in zip(*found, strict=True))
        counts = torch.tensor([len(score) for _, score, _ in found])
        level = torch.arange(len(levels)).repeat_interleave(counts).to(self._device)
        picture, scale = (
            torch.tensor(values, device=self._device)[level] for values in zip(*levels, strict=True)
        )
        at = STRIDE * cells.flip(1) + 1
        corners = (torch.cat([at, at + (CELL - 1)], dim=1) / scale[:, None]).floor()
        boxes = _Boxes(picture, corners, scores)
        kept = batched_nms(corners, scores, level, 0.5)
        kept = kept[batched_nms(corners[kept], scores[kept], picture[kept], 0.7)]
        kept = _best(picture[kept], PROPOSALS, kept)
        boxes = boxes[kept]
        offsets = self._networks.propose.offsets(features[kept])
        size = boxes.corners[:, 2:] - boxes.corners[:, :2]
        return _Boxes(boxes.picture, boxes.corners + offsets * size.repeat(1, 2), boxes.score)

    def _scales(self, side: int) -> list[float]:
        scale = CELL / self._min_face_size
        scales = []
        while side * scale >= CELL:
            scales.append(scale)
            scale *= self._factor
        return scales

    def _cells(self, images: IntegralImages, index: int, scale: float) -> tuple[Tensor, ...]:
        """Where P-Net sees a face at one scale: row and column [n, 2], score [n], features."""
        height, width = images.sizes[index]
        level = images.scaled(index, int(height * scale + 1), int(width * scale + 1))
        score, features = self._networks.propose(level)
        cells = (score >= self._thresholds[0]).nonzero()
        y, x = cells.unbind(1)
        return cells, score[y, x], features[y, x]

    def _refine(self, images: IntegralImages, boxes: _Boxes) -> _Boxes:
        """R-Net: fewer and better boxes, square."""
        boxes, areas = _inside(images, boxes)
        score, offsets = self._each(self._networks.refine, images, boxes.picture, areas, side=24)
        passed = score > self._thresholds[1]
        boxes = _Boxes(boxes.picture, boxes.corners, score)[passed]
        kept = batched_nms(boxes.corners, boxes.score, boxes.picture, 0.7)
        return _squares(_moved(boxes[kept], offsets[passed][kept]))

    def _decide(self, images: IntegralImages, boxes: _Boxes) -> Found:
        """O-Net: the faces, with their landmarks."""
        boxes, areas = _inside(images, boxes)
        score, offsets, points = self._each(
            self._networks.decide, images, boxes.picture, areas, side=48
        )
        passed = score > self._thresholds[2]
        boxes = _Boxes(boxes.picture, boxes.corners, score)[passed]
        size = boxes.corners[:, 2:] - boxes.corners[:, :2] + 1
        landmarks = boxes.corners[:, None, :2] + points[passed] * size[:, None] - 1
        boxes = _moved(boxes, offsets[passed])
        found = Found(
            boxes.picture.cpu().numpy(),
            boxes.corners.cpu().numpy(),
            boxes.score.cpu().numpy(),
            landmarks.cpu().numpy(),
        )
        kept = _without_parts(found, 0.7)
        return Found(
            found.picture[kept],
            found.boxes[kept],
            found.confidence[kept],
            found.landmarks[kept],
        )

    def _each(
        self,
        network: torch.nn.Module,
        images: IntegralImages,
        picture: Tensor,
        areas: Tensor,
        side: int,
    ) -> list[Tensor]:
        """What `network` says of every area, scaled to its input's side: [n, ...] each."""
        many = PIXELS_PER_CALL[self._device.type] // side**2
        outputs = [
            network(images.crops(p, a, side))
            for p, a in zip(picture.split(many), areas.split(many), strict=True)
        ]
        return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


def _best(picture: Tensor, most: int, index: Tensor) -> Tensor:
    """`index`, best first, without what is beyond the first `most` of each picture."""
    if len(index) <= most:
        return index
    same = picture[:, None] == picture.unique()
    rank = same.cumsum(0)[same]  # row by row: each row has one picture
    return index[rank <= most]


def _inside(images: IntegralImages, boxes: _Boxes) -> tuple[_Boxes, Tensor]:
    """The boxes that lie over their picture, and the pixels of it that they hold, int64 [n, 4]."""
    sizes = torch.tensor(images.sizes, device=boxes.score.device)[boxes.picture]
    whole = boxes.corners.trunc().long()
    low = (whole[:, :2] - 1).clamp(min=0)
    high = torch.minimum(whole[:, 2:], sizes.flip(1))
    holds = (high > low).all(dim=1)
    return boxes[holds], torch.cat([low, high], dim=1)[holds]


def _moved(boxes: _Boxes, offsets: Tensor) -> _Boxes:
    """Boxes moved by what a network says, as parts of their sides."""
    size = boxes.corners[:, 2:] - boxes.corners[:, :2] + 1
    return _Boxes(boxes.picture, boxes.corners + offsets * size.repeat(1, 2), boxes.score)


def _squares(boxes: _Boxes) -> _Boxes:
    """The smallest squares around the boxes' centres that hold them."""
    low, high = boxes.corners[:, :2], boxes.corners[:, 2:]
    side = (high - low).amax(dim=1, keepdim=True)
    start = low + (high - low) * 0.5 - side * 0.5
    return _Boxes(boxes.picture, torch.cat([start, start + side], dim=1), boxes.score)


def _without_parts(found: Found, most: float) -> NDArray[np.intp]:
    """The faces, most confident first, of which no more than `most` lies in a better one.

    Overlap is measured in the smaller box, so that a face inside a face goes too.
    """
    order = np.argsort(-found.confidence, kind="stable")
    boxes, picture = found.boxes[order], found.picture[order]
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.maximum(high - low + 1, 0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    covered = shared / np.minimum(area[:, None], area[None]) > most
    covered &= picture[:, None] == picture[None]
    kept = np.ones(len(order), bool)
    for i in range(len(order)):
        if kept[i]:
            kept[i + 1 :] &= ~covered[i, i + 1 :]
    return order[kept]
