"""MTCNN over a batch of images of any sizes (Zhang et al., IEEE SPL 2016).

Weights and arithmetic are facenet-pytorch's: the faces are those of its `detect_face`. The order
of the work differs: the proposals of all images go
through R- and O-Net in shared batches, cropped by integral images and not one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import record_function

from handler.faces.boxes import intersection
from handler.faces.integral_image import CHANNELS, IntegralImages
from handler.faces.mtcnn_layers import Networks
from handler.faces.nms import nms
from handler.faces.pyramid import CELL, STRIDE, Canvas, Level, canvases
from handler.hardware import disable_tf32
from handler.imaging.crop import RGBImage
from handler.task import DetectorSettings

PROPOSALS = 4000  # best proposals of an image that R-Net gets; a crowd of 80 faces has 2,500
# Pixels of the images of one chunk; detection takes some 60 bytes a pixel.
PIXELS_AT_ONCE = {"cpu": 2**20, "cuda": 2**23}
# Pixels of one call of a network: on the CPU such that its layers fit into the caches.
CANVAS_PIXELS = {"cpu": 3 * 2**14, "cuda": 2**22}  # P-Net
PIXELS_PER_CALL = {"cpu": 2**16, "cuda": 2**22}  # R- and O-Net


@dataclass(frozen=True)
class Detections:
    """Faces of several images, unordered."""

    image: NDArray[np.int64]  # [n]: index of the image
    boxes: NDArray[np.float32]  # [n, 4] x1, y1, x2, y2
    confidence: NDArray[np.float32]  # [n]
    landmarks: NDArray[np.float32]  # [n, 5, 2]


@dataclass
class _Boxes:
    image: Tensor  # int64 [n]
    corners: Tensor  # float32 [n, 4]
    score: Tensor  # float32 [n]

    def __getitem__(self, index: Tensor) -> "_Boxes":
        return _Boxes(self.image[index], self.corners[index], self.score[index])

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
        self, images: Sequence[RGBImage], progress: Callable[[], object] = lambda: None
    ) -> Detections:
        """The faces of `images`, uint8 [H, W, 3] each, in chunks that bound the memory.

        `progress` is called after each chunk.
        """
        found = []
        first = 0
        for chunk in _chunks(images, PIXELS_AT_ONCE[self._device.type]):
            faces = self._detect_chunk(chunk)
            found.append(replace(faces, image=faces.image + first))
            first += len(chunk)
            progress()
        return Detections(
            *(np.concatenate([getattr(f, name.name) for f in found]) for name in fields(Detections))
        )

    @torch.inference_mode()
    def _detect_chunk(self, images: Sequence[RGBImage]) -> Detections:
        with record_function("propose"):
            integrals = IntegralImages(images, self._device)
            boxes = _squares(self._propose(integrals))
        with record_function("refine"):
            boxes = self._refine(integrals, boxes)
        with record_function("decide"):
            return self._decide(integrals, boxes)

    def _propose(self, integrals: IntegralImages) -> _Boxes:
        """P-Net over the pyramid of every image."""
        levels = [
            Level(index, scale, int(height * scale + 1), int(width * scale + 1))
            for index, (height, width) in enumerate(integrals.sizes)
            for scale in self._scales(min(height, width))
        ]
        if not levels:
            nothing = torch.zeros(0, device=self._device)
            return _Boxes(nothing.long(), nothing.view(0, 4), nothing)
        rows = canvases(levels, CANVAS_PIXELS[self._device.type])
        levels = [level for canvas in rows for level in canvas.levels]
        firsts = accumulate((len(canvas.levels) for canvas in rows), initial=0)
        found = [self._run_pnet(integrals, *each) for each in zip(rows, firsts, strict=False)]
        level, cells, scores, features = (torch.cat(parts) for parts in zip(*found, strict=True))
        image = torch.tensor([each.image for each in levels], device=self._device)[level]
        scale = torch.tensor([each.scale for each in levels], device=self._device)[level]
        at = STRIDE * cells.flip(1) + 1
        corners = (torch.cat([at, at + (CELL - 1)], dim=1) / scale[:, None]).floor()
        boxes = _Boxes(image, corners, scores)
        kept = nms(corners, scores, level, 0.5)
        kept = kept[nms(corners[kept], scores[kept], image[kept], 0.7)]
        kept = _top_scores(image[kept], PROPOSALS, kept)
        boxes = boxes[kept]
        offsets = self._networks.propose.offsets(features[kept])
        size = boxes.corners[:, 2:] - boxes.corners[:, :2]
        return _Boxes(boxes.image, boxes.corners + offsets * size.repeat(1, 2), boxes.score)

    def _scales(self, side: int) -> list[float]:
        scale = CELL / self._min_face_size
        scales = []
        while side * scale >= CELL:
            scales.append(scale)
            scale *= self._factor
        return scales

    def _run_pnet(
        self, integrals: IntegralImages, canvas: Canvas, first: int
    ) -> tuple[Tensor, ...]:
        """P-Net's cells above the threshold: level [n], row and column [n, 2], score [n], features.

        `first`: index of the canvas's first level.
        """
        pixels = torch.zeros(canvas.height, canvas.width, CHANNELS, device=self._device)
        for level, part in zip(canvas.levels, canvas.parts, strict=True):
            integrals.scaled(level.image, out=pixels[part])
        score, features = self._networks.propose(pixels.permute(2, 0, 1), canvas.beyond)
        seen = (score >= self._thresholds[0]).nonzero()
        valid, place, cells = canvas.places(seen)
        y, x = seen[valid].unbind(1)
        return place + first, cells, score[y, x], features[y, x]

    def _refine(self, integrals: IntegralImages, boxes: _Boxes) -> _Boxes:
        """R-Net over the proposals: fewer and better boxes, square."""
        boxes, areas = _clip(integrals, boxes)
        score, offsets = self._run_batched(
            self._networks.refine, integrals, boxes.image, areas, side=24
        )
        passed = score > self._thresholds[1]
        boxes = _Boxes(boxes.image, boxes.corners, score)[passed]
        kept = nms(boxes.corners, boxes.score, boxes.image, 0.7)
        return _squares(_apply_offsets(boxes[kept], offsets[passed][kept]))

    def _decide(self, integrals: IntegralImages, boxes: _Boxes) -> Detections:
        """O-Net over R-Net's boxes: faces with landmarks."""
        boxes, areas = _clip(integrals, boxes)
        score, offsets, points = self._run_batched(
            self._networks.decide, integrals, boxes.image, areas, side=48
        )
        passed = score > self._thresholds[2]
        boxes = _Boxes(boxes.image, boxes.corners, score)[passed]
        size = boxes.corners[:, 2:] - boxes.corners[:, :2] + 1
        landmarks = boxes.corners[:, None, :2] + points[passed] * size[:, None] - 1
        boxes = _apply_offsets(boxes, offsets[passed])
        found = Detections(
            boxes.image.cpu().numpy(),
            boxes.corners.cpu().numpy(),
            boxes.score.cpu().numpy(),
            landmarks.cpu().numpy(),
        )
        kept = _suppress_contained(found, 0.7)
        return Detections(
            found.image[kept],
            found.boxes[kept],
            found.confidence[kept],
            found.landmarks[kept],
        )

    def _run_batched(
        self,
        network: torch.nn.Module,
        integrals: IntegralImages,
        image: Tensor,
        areas: Tensor,
        side: int,
    ) -> list[Tensor]:
        """Outputs [n, ...] of `network` for crops of the areas at its input size, in batches."""
        many = PIXELS_PER_CALL[self._device.type] // side**2
        outputs = [
            network(integrals.crops(p, a, side))
            for p, a in zip(image.split(many), areas.split(many), strict=True)
        ]
        return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


def _chunks(images: Sequence[RGBImage], most: int) -> list[Sequence[RGBImage]]:
    """Split `images` into runs of at most `most` pixels, or of a single image."""
    starts, pixels = [0], 0
    for index, image in enumerate(images):
        pixels += image.shape[0] * image.shape[1]
        if pixels > most and index > starts[-1]:
            starts.append(index)
            pixels = image.shape[0] * image.shape[1]
    return [images[start:end] for start, end in pairwise([*starts, len(images)])]


def _top_scores(image: Tensor, most: int, index: Tensor) -> Tensor:
    """`index`, sorted by score, cut to the first `most` of each image."""
    if len(index) <= most:
        return index
    same = image[:, None] == image.unique()
    rank = same.cumsum(0)[same]  # row by row: one True in each row
    return index[rank <= most]


def _clip(integrals: IntegralImages, boxes: _Boxes) -> tuple[_Boxes, Tensor]:
    """The boxes that overlap their image, and their parts within it, int64 pixels [n, 4]."""
    sizes = torch.tensor(integrals.sizes, device=boxes.score.device)[boxes.image]
    whole = boxes.corners.trunc().long()
    low = (whole[:, :2] - 1).clamp(min=0)
    high = torch.minimum(whole[:, 2:], sizes.flip(1))
    holds = (high > low).all(dim=1)
    return boxes[holds], torch.cat([low, high], dim=1)[holds]


def _apply_offsets(boxes: _Boxes, offsets: Tensor) -> _Boxes:
    """Boxes moved by a network's offsets [n, 4], which are fractions of the boxes' sides."""
    size = boxes.corners[:, 2:] - boxes.corners[:, :2] + 1
    return _Boxes(boxes.image, boxes.corners + offsets * size.repeat(1, 2), boxes.score)


def _squares(boxes: _Boxes) -> _Boxes:
    """The smallest squares around the boxes, with the same centres."""
    low, high = boxes.corners[:, :2], boxes.corners[:, 2:]
    side = (high - low).amax(dim=1, keepdim=True)
    start = low + (high - low) * 0.5 - side * 0.5
    return _Boxes(boxes.image, torch.cat([start, start + side], dim=1), boxes.score)


def _suppress_contained(found: Detections, threshold: float) -> NDArray[np.intp]:
    """NMS by intersection over the smaller box, so that a face inside a face goes too.

    Indices of the faces to keep, most confident first.
    """
    order = np.argsort(-found.confidence, kind="stable")
    image = found.image[order]
    boxes = found.boxes[order] + np.array([0, 0, 1, 1], np.float32)  # inclusive pixels, as MTCNN's
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    covered = intersection(boxes, boxes) / np.minimum(area[:, None], area[None]) > threshold
    covered &= image[:, None] == image[None]
    kept = np.ones(len(order), bool)
    for i in range(len(order)):
        if kept[i]:
            kept[i + 1 :] &= ~covered[i, i + 1 :]
    return order[kept]
