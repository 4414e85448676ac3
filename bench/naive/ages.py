"""facenet-pytorch's MTCNN as its README shows it, a crop of each face, one call of the model.

Needs nothing of this project but the exported model, whose contract.json says how large a crop
is and how much lies around the face in it.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image, ImageOps

PARTS = (0.05, 0.5, 0.95)  # of a distribution that lie below the interval, the age, its end


@dataclass(frozen=True)
class Detector:
    """MTCNN's settings; the defaults are facenet-pytorch's."""

    min_face_size: int = 20  # pixels
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)  # of P-, R- and O-Net
    factor: float = 0.709  # between two scales of the pyramid
    max_side: int | None = None  # an image with a longer side is scaled down to it first
    min_confidence: float = 0.0  # faces below it are left out


class Ages:
    """Ages of the faces of one image at a time."""

    def __init__(self, model: Path, detector: Detector, device: torch.device) -> None:
        """`model`: an exported TorchScript file."""
        extra = {"contract.json": ""}
        self._model: Any = torch.jit.load(str(model), map_location=device, _extra_files=extra)
        self._model.eval()
        contract = json.loads(extra["contract.json"])
        crop = contract["task"]["input"]["faces"]["crop"]
        self._size, self._margin = crop["size"], crop["margin"]
        self._youngest = contract["task"]["output"]["ordinal"]["low"]
        self._detector = detector
        self._device = device
        self._mtcnn = MTCNN(
            keep_all=True,
            min_face_size=detector.min_face_size,
            thresholds=list(detector.thresholds),
            factor=detector.factor,
            device=device,
        )

    def answer(self, body: bytes) -> dict[str, Any]:
        """The faces of an image, an encoded image, largest first."""
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")
        boxes, confidence = self.detect(image)
        found = []
        if len(boxes):
            faces = np.stack([self._crop(image, box) for box in boxes])
            with torch.no_grad():
                probabilities = self._model(torch.from_numpy(faces).to(self._device)).cpu().numpy()
            for box, sure, of_years in zip(
                boxes.tolist(), confidence.tolist(), probabilities, strict=True
            ):
                low, age, high = self._quantiles(of_years)
                face = {"box": box, "confidence": sure, "age": age, "age_interval": [low, high]}
                found.append(face)
        return {"width": image.width, "height": image.height, "faces": found}

    def detect(self, image: Image.Image) -> tuple[Any, Any]:
        """Boxes [n, 4] in pixels of `image` and their confidence [n]."""
        small, scale = image, 1.0
        if self._detector.max_side and max(image.size) > self._detector.max_side:
            scale = max(image.size) / self._detector.max_side
            size = (round(image.width / scale), round(image.height / scale))
            small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        boxes, confidence = self._mtcnn.detect(small)
        if boxes is None:
            return np.zeros((0, 4)), np.zeros(0)
        sure = confidence >= self._detector.min_confidence
        return boxes[sure].astype(float) * scale, confidence[sure].astype(float)

    def _quantiles(self, probabilities: Any) -> list[float]:
        """The years at `PARTS` of a distribution [K]; a year lasts from half a year before it."""
        ends = np.arange(len(probabilities) + 1) - 0.5
        years = np.interp(PARTS, np.append(0, probabilities.cumsum()), ends)
        quantiles: list[float] = (years.clip(0, ends[-1] - 0.5) + self._youngest).tolist()
        return quantiles

    def _crop(self, image: Image.Image, box: Any) -> Any:
        """Uint8 [3, size, size]: a square around the box; what lies past the border is black."""
        x1, y1, x2, y2 = box
        half = (1 + self._margin) * (x2 - x1 + y2 - y1) / 4
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        area = (round(x - half), round(y - half), round(x + half), round(y + half))
        face = image.crop(area).resize((self._size, self._size), Image.Resampling.BILINEAR)
        return np.asarray(face).transpose(2, 0, 1)
