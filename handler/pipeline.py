"""Photographs -> faces with ages: the whole way is `Pipeline.run`."""

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
from handler.imaging.decode import Reduced, decode, decode_reduced
from handler.predictor import Predictions, Predictor
from handler.requests import Options, Request
from handler.settings import Settings

FEW_FACES = 8  # that a photograph mostly has no more of


@dataclass(frozen=True)
class Photograph:
    """A request whose photograph was decoded as far as looking for faces needs it."""

    request: Request
    reduced: Reduced


class Pipeline:
    """A detector and an predictor under one contract; keeps nothing from batch to batch."""

    def __init__(
        self,
        detector: FaceDetector,
        predictor: Predictor,
        settings: Settings,
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        """`progress` is called after each step of a batch that may take long."""
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
        """The pipeline around an exported model; ContractError when it cannot be honoured."""
        predictor = Predictor.load(model, device, settings.precision)
        detector = FaceDetector(
            predictor.contract.detector, settings.min_face_size, settings.max_side, device
        )
        return cls(detector, predictor, settings, progress)

    def run(self, items: Sequence[Request | Failure]) -> list[Answer | Failure]:
        """One answer or failure for each item, in order; an item's failure is its own.

        A photograph's answer does not depend on the others in its batch. Raises DeviceLost where
        the process can compute nothing more.
        """
        with record_function("decode"):
            opened = self._opened(items)
        answers = iter(self._answer([o for o in opened if isinstance(o, Photograph)]))
        return [o if isinstance(o, Failure) else next(answers) for o in opened]

    def warm_up(self, batch_size: int) -> None:
        """Pay for what torch does on the first calls with each number of faces.

        For those of batches of portraits up to `batch_size`, and of photographs of few people.
        Raises ContractError where the model gives no ages.
        """
        noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
        self._detector.detect([noise])
        side = self.contract.crop.size
        for faces in range(1, max(batch_size, FEW_FACES) + 1):
            for _ in range(2):  # TorchScript profiles on a first call, and optimises on a second
                given = self._predictor.predict(np.zeros((faces, 3, side, side), np.uint8))
                if not given.is_finite:
                    raise ContractError("the model gives ages that are NaN or infinite")

    def _opened(self, items: Sequence[Request | Failure]) -> list[Photograph | Failure]:
        """Several at once where there are threads for it: Pillow lets go of the interpreter."""
        if torch.get_num_threads() == 1 or len(items) == 1:
            return [self._open(item) for item in items]
        with warnings.catch_warnings(action="ignore"):  # threads restore each other's filters
            return list(self._decoders.map(self._open, items))

    def _open(self, item: Request | Failure) -> Photograph | Failure:
        if isinstance(item, Failure):
            return item
        try:
            reduced = decode_reduced(
                item.photograph, self._settings.max_pixels, self._settings.max_side
            )
            return Photograph(item, reduced)
        except Exception as error:  # whatever it is, it is this item's and not its batch's
            return to_failure(error)
        finally:
            self._progress()

    def _answer(self, photographs: list[Photograph]) -> list[Answer | Failure]:
        """All photographs at once; if that fails, one at a time, to find whose fault it is."""
        failure: Failure
        try:
            return [*self._together(photographs)]
        except Exception as error:  # an exception that leaves the handler fails the whole batch
            failure = to_failure(error)
        # Here, after the except block, nothing holds on to the tensors of the failed batch.
        try:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            failure = to_failure(error)
        if len(photographs) == 1:
            return [failure]
        return [answer for photograph in photographs for answer in self._answer([photograph])]

    def _together(self, photographs: list[Photograph]) -> list[Answer]:
        """The faces of all photographs go through the model in one call."""
        if not photographs:
            return []
        with record_function("detect"):
            pictures = [p.reduced.picture for p in photographs]
            detected = self._detector.detect(pictures, self._progress)
        faces = [_wanted(f, p.request.options) for f, p in zip(detected, photographs, strict=True)]
        with record_function("crop"):
            crops = []
            for photograph, found in zip(photographs, faces, strict=True):
                crops.append(self._crops(photograph, found))
                self._progress()
        with record_function("estimate"):
            estimates = self._predictor.predict(np.concatenate(crops), self._progress)
        if not estimates.is_finite:
            raise ArithmeticError("the model gave an age that is no number")
        ends = np.cumsum([len(f) for f in faces])
        return [
            _assembled(p.reduced, f, estimates[a:b])
            for p, f, a, b in zip(photographs, faces, [0, *ends], ends, strict=False)
        ]

    def _crops(self, photograph: Photograph, faces: Faces) -> NDArray[np.uint8]:
        """The faces cut out, from the whole photograph where one has too few pixels otherwise."""
        reduced, geometry = photograph.reduced, self.contract.crop
        picture, boxes = reduced.picture, faces.boxes
        if not reduced.is_whole and any(
            square(box, geometry.margin)[2] < geometry.size for box in boxes
        ):
            picture = decode(photograph.request.photograph, self._settings.max_pixels)
            boxes = faces.mapped(0, reduced.stretch).boxes
        return crop_faces(picture, boxes, geometry)


def _wanted(faces: Faces, options: Options) -> Faces:
    confident = faces.select(faces.confidence >= options.min_confidence)
    return confident.select(slice(options.max_faces))  # they come largest first


def _assembled(reduced: Reduced, faces: Faces, estimates: Predictions) -> Answer:
    faces = faces.mapped(0, reduced.stretch)
    found = zip(
        faces.boxes.tolist(),
        faces.confidence.tolist(),
        faces.landmarks.tolist(),
        estimates.age.tolist(),
        estimates.interval.tolist(),
        strict=True,
    )
    return Answer(
        reduced.width,
        reduced.height,
        tuple(
            Face(tuple(box), confidence, tuple(map(tuple, landmarks)), age, tuple(interval))
            for box, confidence, landmarks, age, interval in found
        ),
    )
