"""MTCNN over a batch of images of any sizes (Zhang et al., IEEE SPL 2016).

Weights and arithmetic are facenet-pytorch's: the faces are those of its `detect_face`. The order
of the work differs: the proposals of all images go through R- and O-Net in shared batches, cropped
by integral images and not one by one. `cuda_mtcnn` has the parts that differ on a GPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import Protocol

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
PIXELS_AT_ONCE = 2**20  # of the images of one chunk; detection takes some 60 bytes a pixel
CANVAS_PIXELS = 3 * 2**14  # of one call of P-Net, such that its layers fit into the caches

Size = tuple[int, int]  # height and width, pixels


@dataclass(frozen=True)
class Detections:
    """Faces of several images, unordered."""

    image: NDArray[np.int64]  # [n]: index of the image
    boxes: NDArray[np.float32]  # [n, 4] x1, y1, x2, y2
    confidence: NDArray[np.float32]  # [n]
    landmarks: NDArray[np.float32]  # [n, 5, 2]


@dataclass(frozen=True)
class Boxes:
    """Boxes of faces, between the networks."""

    image: Tensor  # int64 [n]
    corners: Tensor  # float32 [n, 4]
    score: Tensor  # float32 [n]

    def __getitem__(self, index: Tensor) -> "Boxes":
        return Boxes(self.image[index], self.corners[index], self.score[index])

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class Cells:
    """P-Net's windows above the threshold."""

    image: Tensor  # int64 [n]
    level: Tensor  # int64 [n]: index among the levels of all images
    scale: Tensor  # float32 [n]: of the level
    place: Tensor  # int64 [n, 2]: row and column in the level
    score: Tensor  # float32 [n]
    features: Tensor  # float32 [n, 32]


class AreaAverages(Protocol):
    """Images whose areas are scaled by averaging."""

    limits: Tensor  # int64 [images, 2]: width and height

    def crops(self, index: Tensor, areas: Tensor, side: int) -> Tensor:
        """Areas [n, 4] of the images `index` [n] as squares, float32 [n, 4, side, side]."""


class BatchedMTCNN:
    """The three networks of MTCNN."""

    pixels_per_call = 2**16  # of R- and O-Net, such that their layers fit into the CPU's caches

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
        for chunk in self._chunks([(image.shape[0], image.shape[1]) for image in images]):
            faces = self._detect_chunk([images[index] for index in chunk])
            found.append(replace(faces, image=np.array(chunk)[faces.image]))
            progress()
        return Detections(
            *(np.concatenate([getattr(f, name.name) for f in found]) for name in fields(Detections))
        )

    @torch.inference_mode()
    def _detect_chunk(self, images: Sequence[RGBImage]) -> Detections:
        with record_function("propose"):
            averages, cells = self._windows(images)
            if cells is None:
                return NOTHING
            boxes = _squares(self._propose(cells))
        with record_function("refine"):
            boxes = self._refine(averages, boxes)
        with record_function("decide"):
            return self._decide(averages, boxes)

    def _chunks(self, sizes: Sequence[Size]) -> list[list[int]]:
        """Indices of the images, height and width each, in chunks that bound the memory."""
        return runs([height * width for height, width in sizes], PIXELS_AT_ONCE)

    def _levels(self, sizes: Sequence[Size]) -> list[Level]:
        """The levels of each image's pyramid."""
        return [
            Level(index, scale, int(height * scale + 1), int(width * scale + 1))
            for index, (height, width) in enumerate(sizes)
            for scale in self._scales(min(height, width))
        ]

    def _scales(self, side: int) -> list[float]:
        scale = CELL / self._min_face_size
        scales = []
        while side * scale >= CELL:
            scales.append(scale)
            scale *= self._factor
        return scales

    def _windows(self, images: Sequence[RGBImage]) -> tuple[AreaAverages, Cells | None]:
        """P-Net over the pyramid of every image; no cells where all images are too small."""
        integrals = IntegralImages(images)
        levels = self._levels(integrals.sizes)
        if not levels:
            return integrals, None
        rows = canvases(levels, CANVAS_PIXELS)
        levels = [level for canvas in rows for level in canvas.levels]
        firsts = accumulate((len(canvas.levels) for canvas in rows), initial=0)
        found = [self._run_pnet(integrals, *each) for each in zip(rows, firsts, strict=False)]
        level, place, score, features = (torch.cat(parts) for parts in zip(*found, strict=True))
        image = torch.tensor([each.image for each in levels])[level]
        scale = torch.tensor([each.scale for each in levels])[level]
        return integrals, Cells(image, level, scale, place, score, features)

    def _propose(self, cells: Cells) -> Boxes:
        """The best windows of each image, moved by P-Net's offsets."""
        at = STRIDE * cells.place.flip(1) + 1
        corners = (torch.cat([at, at + (CELL - 1)], dim=1) / cells.scale[:, None]).floor()
        boxes = Boxes(cells.image, corners, cells.score)
        kept = nms(corners, cells.score, cells.level, 0.5)
        kept = kept[nms(corners[kept], cells.score[kept], cells.image[kept], 0.7)]
        kept = _top_scores(cells.image[kept], PROPOSALS, kept)
        boxes = boxes[kept]
        offsets = self._networks.propose.offsets(cells.features[kept])
        size = boxes.corners[:, 2:] - boxes.corners[:, :2]
        return Boxes(boxes.image, boxes.corners + offsets * size.repeat(1, 2), boxes.score)

    def _run_pnet(
        self, integrals: IntegralImages, canvas: Canvas, first: int
    ) -> tuple[Tensor, ...]:
        """P-Net's cells above the threshold: level [n], row and column [n, 2], score [n], features.

        `first`: index of the canvas's first level.
        """
        pixels = torch.zeros(canvas.height, canvas.width, CHANNELS)
        for level, part in zip(canvas.levels, canvas.parts, strict=True):
            integrals.scaled(level.image, out=pixels[part])
        score, features = self._networks.propose(
            pixels.permute(2, 0, 1), canvas.beyond(canvas.height, canvas.width)
        )
        seen = (score >= self._thresholds[0]).nonzero()
        valid, place, cells = canvas.places(seen)
        y, x = seen[valid].unbind(1)
        return place + first, cells, score[y, x], features[y, x]

    def _refine(self, averages: AreaAverages, boxes: Boxes) -> Boxes:
        """R-Net over the proposals: fewer and better boxes, square."""
        boxes, areas = _clip(averages, boxes)
        score, offsets = self._run_batched(
            self._networks.refine, averages, boxes.image, areas, side=24
        )
        passed = (score > self._thresholds[1]).nonzero()[:, 0]
        boxes = Boxes(boxes.image, boxes.corners, score)[passed]
        kept = nms(boxes.corners, boxes.score, boxes.image, 0.7)
        return _squares(_apply_offsets(boxes[kept], offsets[passed][kept]))

    def _decide(self, averages: AreaAverages, boxes: Boxes) -> Detections:
        """O-Net over R-Net's boxes: faces with landmarks."""
        boxes, areas = _clip(averages, boxes)
        score, offsets, points = self._run_batched(
            self._networks.decide, averages, boxes.image, areas, side=48
        )
        passed = (score > self._thresholds[2]).nonzero()[:, 0]
        boxes = Boxes(boxes.image, boxes.corners, score)[passed]
        size = boxes.corners[:, 2:] - boxes.corners[:, :2] + 1
        landmarks = boxes.corners[:, None, :2] + points[passed] * size[:, None] - 1
        boxes = _apply_offsets(boxes, offsets[passed])
        # one copy: each waits for the GPU
        parts = [boxes.image[:, None], boxes.corners, boxes.score[:, None], landmarks.flatten(1)]
        found = _from_rows(torch.cat(parts, dim=1).cpu().numpy())
        kept = _suppress_contained(found, 0.7)
        return Detections(*(getattr(found, name.name)[kept] for name in fields(Detections)))

    def _run_batched(
        self,
        network: torch.nn.Module,
        averages: AreaAverages,
        image: Tensor,
        areas: Tensor,
        side: int,
    ) -> list[Tensor]:
        """Outputs [n, ...] of `network` for crops of the areas at its input size, in batches."""
        many = self.pixels_per_call // side**2
        outputs = [
            network(averages.crops(p, a, side))
            for p, a in zip(image.split(many), areas.split(many), strict=True)
        ]
        return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


def _from_rows(rows: NDArray[np.float32]) -> Detections:
    """From image, box, confidence and landmarks of each face [n, 16]."""
    image, boxes, confidence, landmarks = np.split(rows, (1, 5, 6), axis=1)
    return Detections(
        image[:, 0].astype(np.int64), boxes, confidence[:, 0], landmarks.reshape(-1, 5, 2)
    )


NOTHING = _from_rows(np.zeros((0, 16), np.float32))


def runs(costs: Sequence[int], most: int) -> list[list[int]]:
    """Indices in runs whose costs add up to at most `most`, or of one index."""
    starts, total = [0], 0
    for index, cost in enumerate(costs):
        total += cost
        if total > most and index > starts[-1]:
            starts.append(index)
            total = cost
    return [list(range(start, end)) for start, end in pairwise([*starts, len(costs)])]


def _top_scores(image: Tensor, most: int, index: Tensor) -> Tensor:
    """`index`, sorted by score, cut to the first `most` of each image."""
    if len(index) <= most:
        return index
    same = image[:, None] == image.unique()
    rank = same.cumsum(0)[same]  # row by row: one True in each row
    return index[rank <= most]


def _clip(averages: AreaAverages, boxes: Boxes) -> tuple[Boxes, Tensor]:
    """The boxes that overlap their image, and their parts within it, int64 pixels [n, 4]."""
    whole = boxes.corners.trunc().long()
    low = (whole[:, :2] - 1).clamp(min=0)
    high = torch.minimum(whole[:, 2:], averages.limits[boxes.image])
    holds = (high > low).all(dim=1).nonzero()[:, 0]
    return boxes[holds], torch.cat([low, high], dim=1)[holds]


def _apply_offsets(boxes: Boxes, offsets: Tensor) -> Boxes:
    """Boxes moved by a network's offsets [n, 4], which are fractions of the boxes' sides."""
    size = boxes.corners[:, 2:] - boxes.corners[:, :2] + 1
    return Boxes(boxes.image, boxes.corners + offsets * size.repeat(1, 2), boxes.score)


def _squares(boxes: Boxes) -> Boxes:
    """The smallest squares around the boxes, with the same centres."""
    low, high = boxes.corners[:, :2], boxes.corners[:, 2:]
    side = (high - low).amax(dim=1, keepdim=True)
    start = low + (high - low) * 0.5 - side * 0.5
    return Boxes(boxes.image, torch.cat([start, start + side], dim=1), boxes.score)


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
