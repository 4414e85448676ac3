"""From encoded images to faces with ages: `Pipeline.run` is the whole way."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.profiler import record_function

from handler.answer import Answer, Face
from handler.contract import ContractError
from handler.device_errors import to_failure
from handler.errors import Failure
from handler.faces.detector import FaceDetector, Faces
from handler.imaging.crop import crop_faces, square
from handler.imaging.decode import DecodedImage, decode, decode_reduced
from handler.predictor import Predictions, Predictor
from handler.requests import Options, Request
from handler.settings import Settings

FEW_FACES = 8  # most images have no more


@dataclass(frozen=True)
class DecodedRequest:
    """A request and its image, decoded at the size that face detection needs or larger."""

    request: Request
    decoded: DecodedImage


class Pipeline:
    """Face detector and age predictor under one contract; stateless between batches."""

    def __init__(
        self,
        detector: FaceDetector,
        predictor: Predictor,
        settings: Settings,
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        """`progress` is called after each step of a batch; see `Settings.step_timeout`."""
        self.contract = predictor.contract
        self.precision = predictor.precision
        self._detector = detector
        self._predictor = predictor
        self._settings = settings
        self._progress = progress
        self._decoders = ThreadPoolExecutor(torch.get_num_threads(), "decode")

    @classmethod
    def load(
        cls,
        model: Path,
        settings: Settings,
        device: torch.device,
        progress: Callable[[], object] = lambda: None,
    ) -> "Pipeline":
        """Load an exported model. Raises ContractError if its contract cannot be honoured."""
        predictor = Predictor.load(model, device, settings.precision)
        detector = FaceDetector(
            predictor.contract.detector, settings.min_face_size, settings.max_side, device
        )
        return cls(detector, predictor, settings, progress)

    def run(self, items: Sequence[Request | Failure]) -> list[Answer | Failure]:
        """One answer or failure for each item, in order.

        An image's answer does not depend on the others in its batch, and a failure is its own.
        Raises DeviceLost if the process can compute nothing more.
        """
        with record_function("decode"):
            decoded = self._decode_all(items)
        requests = [item for item in decoded if isinstance(item, DecodedRequest)]
        answers = iter(self._predict_or_split(requests))
        return [item if isinstance(item, Failure) else next(answers) for item in decoded]

    def warm_up(self, batch_size: int) -> None:
        """Run the model with each number of faces: torch's first calls of a shape are slow.

        Covers batches of up to `batch_size` portraits, and images of up to `FEW_FACES` faces.
        Raises ContractError if the model gives ages that are not finite.
        """
        noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
        self._detector.detect([noise])
        side = self.contract.crop.size
        for faces in range(1, max(batch_size, FEW_FACES) + 1):
            for _ in range(2):  # TorchScript profiles its first call, and optimises in its second
                predictions = self._predictor.predict(np.zeros((faces, 3, side, side), np.uint8))
                if not predictions.is_finite:
                    raise ContractError("the model gives ages that are NaN or infinite")

    def _decode_all(self, items: Sequence[Request | Failure]) -> list[DecodedRequest | Failure]:
        """Decode in parallel where torch has several threads: Pillow releases the GIL."""
        if torch.get_num_threads() == 1 or len(items) == 1:
            return [self._decode(item) for item in items]
        with warnings.catch_warnings(action="ignore"):  # threads restore each other's filters
            return list(self._decoders.map(self._decode, items))

    def _decode(self, item: Request | Failure) -> DecodedRequest | Failure:
        if isinstance(item, Failure):
            return item
        try:
            decoded = decode_reduced(item.image, self._settings.max_pixels, self._settings.max_side)
            return DecodedRequest(item, decoded)
        except Exception as error:  # any exception fails this item, not its batch
            return to_failure(error)
        finally:
            self._progress()

    def _predict_or_split(self, requests: list[DecodedRequest]) -> list[Answer | Failure]:
        """All requests at once; if that fails, one at a time, so that only the faulty one fails."""
        failure: Failure
        try:
            return [*self._predict_batch(requests)]
        except Exception as error:  # an exception that leaves the handler fails the whole batch
            failure = to_failure(error)
        # After the except block, nothing references the failed batch's tensors any more.
        try:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            failure = to_failure(error)
        if len(requests) == 1:
            return [failure]
        return [answer for request in requests for answer in self._predict_or_split([request])]

    def _predict_batch(self, requests: list[DecodedRequest]) -> list[Answer]:
        """The faces of all images go through the model in one call."""
        if not requests:
            return []
        with record_function("detect"):
            images = [r.decoded.image for r in requests]
            detected = self._detector.detect(images, self._progress)
        faces = [
            _apply_options(f, r.request.options) for f, r in zip(detected, requests, strict=True)
        ]
        with record_function("crop"):
            crops = []
            for request, found in zip(requests, faces, strict=True):
                crops.append(self._crop(request, found))
                self._progress()
        with record_function("estimate"):
            predictions = self._predictor.predict(np.concatenate(crops), self._progress)
        if not predictions.is_finite:
            raise ArithmeticError("the model gave an age that is NaN or infinite")
        ends = np.cumsum([len(f) for f in faces])
        return [
            _build_answer(r.decoded, f, predictions[a:b])
            for r, f, a, b in zip(requests, faces, [0, *ends], ends, strict=False)
        ]

    def _crop(self, request: DecodedRequest, faces: Faces) -> NDArray[np.uint8]:
        """Crops uint8 [n, 3, S, S]; from the full-size image if a face has too few pixels."""
        decoded, geometry = request.decoded, self.contract.crop
        image, boxes = decoded.image, faces.boxes
        if not decoded.is_full_size and any(
            square(box, geometry.margin)[2] < geometry.size for box in boxes
        ):
            image = decode(request.request.image, self._settings.max_pixels)
            boxes = faces.to_original(0, decoded.scale).boxes
        return crop_faces(image, boxes, geometry)


def _apply_options(faces: Faces, options: Options) -> Faces:
    confident = faces.select(faces.confidence >= options.min_confidence)
    return confident.select(slice(options.max_faces))  # faces are sorted, largest first


def _build_answer(decoded: DecodedImage, faces: Faces, predictions: Predictions) -> Answer:
    faces = faces.to_original(0, decoded.scale)
    rows = zip(
        faces.boxes.tolist(),
        faces.confidence.tolist(),
        faces.landmarks.tolist(),
        predictions.age.tolist(),
        predictions.interval.tolist(),
        strict=True,
    )
    return Answer(
        decoded.width,
        decoded.height,
        tuple(
            Face(tuple(box), confidence, tuple(map(tuple, landmarks)), age, tuple(interval))
            for box, confidence, landmarks, age, interval in rows
        ),
    )
