"""P-, R- and O-Net over pictures of any sizes together (Zhang et al., IEEE SPL 2016).

The weights of the networks are facenet-pytorch's, and so is the arithmetic: the same faces come out
as from its `detect_face`. What differs is the order of the work: the proposals of all pictures go
through R- and O-Net in shared batches, cut out by integral images and not one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import record_function

from handler.contract import DetectorSettings
from handler.faces.integral_image import CHANNELS, IntegralImages
from handler.faces.mtcnn_layers import Networks
from handler.faces.nms import nms
from handler.faces.pyramid import CELL, STRIDE, Canvas, Level, canvases
from handler.hardware import disable_tf32
from handler.imaging.crop import RGBImage

PROPOSALS = 4000  # of one picture that R-Net looks at, the best; a crowd of 80 has 2,500
# Pixels of the pictures that are looked at together; each takes some 60 bytes on the way.
PIXELS_AT_ONCE = {"cpu": 2**20, "cuda": 2**23}
# Pixels that a network is given at once: on the CPU what its caches hold, layers included.
CANVAS_PIXELS = {"cpu": 3 * 2**14, "cuda": 2**22}  # P-Net
PIXELS_PER_CALL = {"cpu": 2**16, "cuda": 2**22}  # R- and O-Net


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


class BatchedMTCNN:
    """The three networks of MTCNN."""

    def __init__(
        self, settings: DetectorSettings, min_face_size: int, device: torch.device
    ) -> None:
        disable_tf32()
        self._networks = Networks.load(device)
        self._thresholds = settings.thresholds
        self._factor = settings.factor
        self._min_face_size = min_face_size
        self._device = device

    def detect(
        self, pictures: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> Found:
        """The faces of `pictures`, uint8 [H, W, 3] each; the memory is bounded for any number.

        `progress` is called after each of the parts that they are looked at in.
        """
        found = []
        first = 0
        for part in _parts(pictures, PIXELS_AT_ONCE[self._device.type]):
            of_part = self._together(part)
            found.append(replace(of_part, picture=of_part.picture + first))
            first += len(part)
            progress()
        return Found(
            *(np.concatenate([getattr(f, name.name) for f in found]) for name in fields(Found))
        )

    @torch.inference_mode()
    def _together(self, pictures: Sequence[RGBImage]) -> Found:
        with record_function("propose"):
            images = IntegralImages(pictures, self._device)
            boxes = _squares(self._propose(images))
        with record_function("refine"):
            boxes = self._refine(images, boxes)
        with record_function("decide"):
            return self._decide(images, boxes)

    def _propose(self, images: IntegralImages) -> _Boxes:
        """P-Net over the pyramid of every picture."""
        levels = [
            Level(index, scale, int(height * scale + 1), int(width * scale + 1))
            for index, (height, width) in enumerate(images.sizes)
            for scale in self._scales(min(height, width))
        ]
        if not levels:
            nothing = torch.zeros(0, device=self._device)
            return _Boxes(nothing.long(), nothing.view(0, 4), nothing)
        rows = canvases(levels, CANVAS_PIXELS[self._device.type])
        levels = [level for canvas in rows for level in canvas.levels]
        firsts = accumulate((len(canvas.levels) for canvas in rows), initial=0)
        found = [self._cells(images, *each) for each in zip(rows, firsts, strict=False)]
        level, cells, scores, features = (torch.cat(parts) for parts in zip(*found, strict=True))
        picture = torch.tensor([each.picture for each in levels], device=self._device)[level]
        scale = torch.tensor([each.scale for each in levels], device=self._device)[level]
        at = STRIDE * cells.flip(1) + 1
        corners = (torch.cat([at, at + (CELL - 1)], dim=1) / scale[:, None]).floor()
        boxes = _Boxes(picture, corners, scores)
        kept = nms(corners, scores, level, 0.5)
        kept = kept[nms(corners[kept], scores[kept], picture[kept], 0.7)]
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

    def _cells(self, images: IntegralImages, canvas: Canvas, first: int) -> tuple[Tensor, ...]:
        """Where P-Net sees a face: level [n], row and column [n, 2], score [n], features.

        `first`: the number of the canvas's first level.
        """
        pixels = torch.zeros(canvas.height, canvas.width, CHANNELS, device=self._device)
        for level, part in zip(canvas.levels, canvas.parts, strict=True):
            images.scaled(level.picture, out=pixels[part])
        score, features = self._networks.propose(pixels.permute(2, 0, 1), canvas.beyond)
        seen = (score >= self._thresholds[0]).nonzero()
        valid, place, cells = canvas.places(seen)
        y, x = seen[valid].unbind(1)
        return place + first, cells, score[y, x], features[y, x]

    def _refine(self, images: IntegralImages, boxes: _Boxes) -> _Boxes:
        """R-Net: fewer and better boxes, square."""
        boxes, areas = _inside(images, boxes)
        score, offsets = self._each(self._networks.refine, images, boxes.picture, areas, side=24)
        passed = score > self._thresholds[1]
        boxes = _Boxes(boxes.picture, boxes.corners, score)[passed]
        kept = nms(boxes.corners, boxes.score, boxes.picture, 0.7)
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


def _parts(pictures: Sequence[RGBImage], most: int) -> list[Sequence[RGBImage]]:
    """The pictures in order, as many at once as have no more than `most` pixels, or one."""
    starts, pixels = [0], 0
    for index, picture in enumerate(pictures):
        pixels += picture.shape[0] * picture.shape[1]
        if pixels > most and index > starts[-1]:
            starts.append(index)
            pixels = picture.shape[0] * picture.shape[1]
    return [pictures[start:end] for start, end in pairwise([*starts, len(pictures)])]


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
