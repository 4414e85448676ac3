"""Makes the crops of labelled images, with the handler's own detection and cropping."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from handler.faces.detector import FaceDetector, Faces
from handler.imaging.crop import RGBImage, central_square, crop_faces, padding
from handler.imaging.decode import decode
from handler.settings import Settings
from handler.task import FaceInput, ImageInput
from train.data import main_face
from train.data.cache import CROP_VERSION, CropLabel, stored_geometry
from train.data.samples import Sample
from train.files import regular_file


@dataclass(frozen=True)
class CropMaker:
    """Makes the crop of one sample; pickled for the worker processes."""

    input: FaceInput | ImageInput  # as it is served
    min_face_size: int
    max_side: int

    def fingerprint(self, samples: Sequence[Sample]) -> str:
        """A hash of everything that the crops depend on; another one makes a cache stale."""
        inputs = [
            (
                r.file,
                r.label,
                r.split,
                r.tight,
                sorted(r.auxiliary.items()),
                r.box,
                *(r.votes or ()),
            )
            for r in samples
        ]
        parts = [asdict(self), inputs, CROP_VERSION]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def build_detector(self) -> FaceDetector | None:
        """A detector on the CPU, one per process; None for whole images."""
        if isinstance(self.input, ImageInput):
            return None
        cpu = torch.device("cpu")
        return FaceDetector(self.input.detector, self.min_face_size, self.max_side, cpu)

    def make(
        self, sample: Sample, detector: FaceDetector | None
    ) -> tuple[NDArray[np.uint8], CropLabel]:
        """The stored crop, uint8 [3, W, W], of the sample's face or image, and its label.

        Raises OSError or Failure if the image cannot be read, and ValueError if no face is found.
        """
        image = decode(regular_file(sample.path).read_bytes(), Settings.max_pixels)
        box, is_found = self._region(sample, image, detector)
        stored = stored_geometry(self.input.crop)
        label = CropLabel(
            file=sample.file,
            label=sample.label,
            split=sample.split,
            source=sample.source,
            auxiliary=dict(sample.auxiliary),
            found=is_found,
            padding=round(padding(image.shape, box, self.input.crop.margin), 4),
            votes=sample.votes,
        )
        return crop_faces(image, box[None], stored)[0], label

    def served(self, sample: Sample, detector: FaceDetector | None) -> NDArray[np.uint8]:
        """The served crop, uint8 [3, S, S], which no stored crop need contain; as `make`."""
        image = decode(regular_file(sample.path).read_bytes(), Settings.max_pixels)
        box, _ = self._region(sample, image, detector)
        crop: NDArray[np.uint8] = crop_faces(image, box[None], self.input.crop)[0]
        return crop

    def _region(
        self, sample: Sample, image: RGBImage, detector: FaceDetector | None
    ) -> tuple[NDArray[np.float32], bool]:
        """The box of the sample's crop, and whether it was found or is given."""
        if isinstance(self.input, ImageInput):
            return central_square(image.shape, self.input.crop_fraction), True
        assert detector is not None  # nosec B101  # `build_detector` made it
        height, width = image.shape[:2]
        faces = (detector.detect_with_border if sample.tight else detector.detect)([image])[0]
        return self._box(sample, faces, width, height), len(faces) > 0

    def _box(self, sample: Sample, faces: Faces, width: int, height: int) -> NDArray[np.float32]:
        """The box of the sample's face; raises ValueError if it is not found."""
        if sample.box is not None:
            index = main_face.face_at(faces.boxes, sample.box)
            if index is None:
                raise ValueError("no face was found at its box")
        elif len(faces):
            index = main_face.main_face(faces.boxes, width, height)
        elif sample.tight:
            return self._whole(width, height)
        else:
            raise ValueError("no face was found")
        box: NDArray[np.float32] = faces.boxes[index]
        return box

    def _whole(self, width: int, height: int) -> NDArray[np.float32]:
        """The box whose served crop is the largest centred square of the image."""
        half = min(width, height) / 2 / (1 + self.input.crop.margin)
        x, y = width / 2, height / 2
        return np.array([x - half, y - half, x + half, y + half], np.float32)
