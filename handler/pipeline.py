"""From encoded images to predictions: `Pipeline.run` is the whole way."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from handler.answer import Answer
from handler.attributes import Crops, build_answer
from handler.contract import ContractError, check_together
from handler.deadline import check_due
from handler.device_errors import to_failure
from handler.errors import Failure
from handler.explain import Maps, explained, occlusion_maps
from handler.faces.detector import FaceDetector, Faces
from handler.find_faces import Found, find_faces
from handler.imaging.crop import RGBImage, central_square, crop_faces, square
from handler.imaging.decode import DecodedImage, decode, decode_reduced
from handler.imaging.on_gpu import cropper_for, decoder_for
from handler.picture import draw
from handler.predictions import Predictions
from handler.predictor import Predictor
from handler.requests import Request
from handler.rotation import as_sent, turned
from handler.settings import Settings
from handler.stage_times import StageTimes
from handler.task import CropGeometry, FaceInput, ImageInput, Task

FEW_FACES = 8  # most images have no more
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class DecodedRequest:
    """A request and its image, decoded at the size that face detection needs or larger."""

    request: Request
    decoded: DecodedImage
    rotation: int = 0  # degrees clockwise by which it is turned for its faces

    @property
    def turned(self) -> DecodedImage:
        """The image as faces were found in it, a view."""
        return self.decoded.turned(self.rotation)


class Pipeline:
    """Face detector and predictors of one archive; stateless between batches."""

    def __init__(
        self,
        predictors: Sequence[Predictor],
        settings: Settings,
        device: torch.device,
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        """`progress` is called after each step of a batch; see `Settings.step_timeout`.

        Raises ContractError for two tasks of a name, or faces found with different settings, and
        SettingsError if a setting asks for a GPU that is not there.
        """
        self._predictors = {predictor.task.name: predictor for predictor in predictors}
        detector = check_together([predictor.task for predictor in predictors])
        self._detector = None
        if detector is not None:
            self._detector = FaceDetector(
                detector, settings.min_face_size, settings.max_side, device
            )
        self._cropper = cropper_for(device)
        self._jpeg = decoder_for(settings.decoder, device)
        # whether to measure each image's largest face, for `handler.drift`
        self.measures_largest = any(predictor.contract.reference for predictor in predictors)
        self._settings = settings
        self._progress = progress
        self.times = StageTimes()  # of the last batch
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), "pillow")

    @classmethod
    def load(
        cls,
        models: Sequence[Path],
        settings: Settings,
        device: torch.device,
        progress: Callable[[], object] = lambda: None,
    ) -> "Pipeline":
        """Load exported models.

        Raises ContractError if a contract cannot be honoured, and as `__init__`.
        """
        predictors = [Predictor.load(model, device, settings.precision) for model in models]
        return cls(predictors, settings, device, progress)

    @property
    def predictors(self) -> Mapping[str, Predictor]:
        """The predictors, by the names of their tasks."""
        return self._predictors

    def run(self, items: Sequence[Request | Failure], at_once: int = 0) -> list[Answer | Failure]:
        """One answer or failure for each item, in order.

        An image's answer does not depend on the others in its batch, and a failure is its own.
        Raises DeviceLost if the process can compute nothing more.

        Args:
            items: images, or failures that they are already.
            at_once: how many are decoded and in memory together; 0: all.
        """
        self.times.reset()
        step = at_once or max(1, len(items))
        parts = [items[start : start + step] for start in range(0, len(items), step)]
        return [outcome for part in parts for outcome in self._run(part)]

    def _run(self, items: Sequence[Request | Failure]) -> list[Answer | Failure]:
        with self.times.measure("decode"):
            decoded = self._in_threads(self._decode, items)
        requests = [item for item in decoded if isinstance(item, DecodedRequest)]
        answers = iter(self._predict_or_split(requests))
        return [item if isinstance(item, Failure) else next(answers) for item in decoded]

    def warm_up(self, batch_size: int) -> None:
        """Run the models with each number of inputs: torch's first calls of a shape are slow.

        Covers batches of up to `batch_size` portraits, and images of up to `FEW_FACES` faces.
        Raises ContractError if a model gives probabilities that are not finite.
        """
        if self._detector is not None:
            noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
            self._detector.detect([noise])
        for name, predictor in self._predictors.items():
            side = predictor.task.input.size
            few = FEW_FACES if predictor.task.is_of_faces else 1
            for count in range(1, max(batch_size, few) + 1):
                for _ in range(2):  # TorchScript profiles its first call, optimises in its second
                    black = torch.zeros(count, 3, side, side, dtype=torch.uint8)
                    found = predictor.predict(black)
                    if not found.is_finite:
                        raise ContractError(f"the model of {name} gives values that are not finite")
            predictor.capture_graphs()

    def _in_threads(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Map in parallel where torch has several threads: Pillow releases the GIL."""
        if torch.get_num_threads() == 1 or len(items) == 1:
            return [function(item) for item in items]
        with warnings.catch_warnings(action="ignore"):  # threads restore each other's filters
            return list(self._threads.map(function, items))

    def _decode(self, item: Request | Failure) -> DecodedRequest | Failure:
        if isinstance(item, Failure):
            return item
        try:
            check_due(item.due, time.monotonic())
            limits = self._settings.max_pixels, self._settings.max_side
            decoded = decode_reduced(item.image, *limits, self._jpeg)
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
        """The faces of all images go through each model in one call."""
        if not requests:
            return []
        found = self._detect(requests)
        faces = [None if each is None else each.faces for each in found]
        requests = [
            r if each is None else replace(r, rotation=each.rotation)
            for r, each in zip(requests, found, strict=True)
        ]
        with self.times.measure("crop"):
            crops = self._crop(requests, faces)
        with self.times.measure("estimate"):
            predictions = self._predict(requests, crops)
        maps = self._maps(requests, crops)
        with self.times.measure("respond"):
            answers = [
                build_answer(
                    r.turned, r.request.options, f, c, p, measure_largest=self.measures_largest
                )
                for r, f, c, p in zip(requests, faces, crops, predictions, strict=True)
            ]
            answers = [
                answer if of_answer is None else explained(answer, of_answer, self._tasks(r))
                for r, answer, of_answer in zip(requests, answers, maps, strict=True)
            ]
            return self._in_threads(self._completed, [*zip(requests, answers, strict=True)])

    def _maps(
        self, requests: Sequence[DecodedRequest], crops: Sequence[Crops]
    ) -> Sequence[Maps | None]:
        """The occlusion maps of each request that asks to be explained."""
        if not any(r.request.explain for r in requests):
            return [None for _ in requests]
        with self.times.measure("explain"):
            limit = self._settings.explained_faces
            return [
                occlusion_maps(taken, self._asked(r), limit, self._progress)
                if r.request.explain
                else None
                for r, taken in zip(requests, crops, strict=True)
            ]

    def _asked(self, request: DecodedRequest) -> list[Predictor]:
        """The predictors of the tasks that a request asks for."""
        return [self._predictors[task.name] for task in self._tasks(request)]

    def _completed(self, answered: tuple[DecodedRequest, Answer]) -> Answer:
        """The answer about the image as it was sent, and with its picture if asked for."""
        request, answer = answered
        answer, options = as_sent(answer, request.rotation), request.request.options
        if self._detector is not None and answer.faces is not None:
            smallest = self._detector.smallest_face(answer.width, answer.height)
            rotation = request.rotation if options.rotate else None
            answer = replace(answer, smallest_face=smallest, rotation=rotation)
        kind = options.annotate
        if not kind:
            return answer
        picture = draw(request.decoded.image, answer, kind)
        self._progress()
        return replace(answer, picture=picture)

    def _tasks(self, request: DecodedRequest) -> list[Task]:
        """The tasks that a request asks for."""
        chosen = request.request.options.attributes
        return [p.task for name, p in self._predictors.items() if not chosen or name in chosen]

    def _detect(self, requests: list[DecodedRequest]) -> list[Found | None]:
        """The faces of each image; None where a request asks for no task of faces."""
        asking = [any(task.is_of_faces for task in self._tasks(r)) for r in requests]
        if self._detector is None or not any(asking):
            return [None for _ in requests]
        with self.times.measure("detect"):
            asked = [r for r, asks in zip(requests, asking, strict=True) if asks]
            images = [r.decoded.image for r in asked]
            options = [r.request.options for r in asked]
            found = iter(find_faces(self._detector, images, options, self._progress))
        return [next(found) if asks else None for asks in asking]

    def _crop(
        self, requests: Sequence[DecodedRequest], faces: Sequence[Faces | None]
    ) -> Sequence[Crops]:
        """The inputs of the tasks that each request asks for; equal ones are made once."""
        every = [*zip(requests, faces, strict=True)]
        if self._cropper is None:
            return self._in_threads(lambda each: self._cut(*each, crop_faces), every)
        cut = self._cropper.cut
        cuts = self._in_threads(lambda each: self._cut(*each, cut), every)
        crops = iter(self._cropper.scaled([part for parts in cuts for part in parts.values()]))
        return [{taken: next(crops) for taken in parts} for parts in cuts]

    def _cut(
        self,
        request: DecodedRequest,
        faces: Faces | None,
        cut: Callable[[RGBImage, NDArray[np.float32], CropGeometry], T],
    ) -> dict[FaceInput | ImageInput, T]:
        """What `cut` makes of a request's image, for each input of the tasks asked for.

        That is the full-size image if an input would get too few pixels of the reduced one. It does
        not depend on the other tasks.
        """
        decoded, full_size = request.turned, None
        found = {}
        for taken in {task.input for task in self._tasks(request)}:
            image, geometry = decoded.image, taken.crop
            boxes = _boxes(taken, image, faces)
            if not decoded.is_full_size and any(
                square(box, geometry.margin)[2] < geometry.size for box in boxes
            ):
                if full_size is None:
                    limit = self._settings.max_pixels
                    full_size = decode(request.request.image, limit, self._jpeg)
                    full_size = turned(full_size, request.rotation)
                image = full_size
                boxes = boxes * np.tile(np.array(decoded.scale, np.float32), 2)
            found[taken] = cut(image, boxes, geometry)
        self._progress()
        return found

    def _predict(
        self, requests: list[DecodedRequest], crops: Sequence[Crops]
    ) -> list[list[tuple[Task, Predictions]]]:
        """Each request's predictions, of each task that it asks for."""
        found: list[list[tuple[Task, Predictions]]] = [[] for _ in requests]
        for name, predictor in self._predictors.items():
            asking = [i for i, r in enumerate(requests) if predictor.task in self._tasks(r)]
            if not asking:
                continue
            inputs = [torch.as_tensor(crops[i][predictor.task.input]) for i in asking]
            predictions = predictor.predict(torch.cat(inputs), self._progress)
            if not predictions.is_finite:
                raise ArithmeticError(f"the model of {name} gave a value that is not finite")
            ends = np.cumsum([len(each) for each in inputs])
            for i, start, end in zip(asking, [0, *ends], ends, strict=False):
                found[i].append((predictor.task, predictions[start:end]))
        return found


def _boxes(
    taken: FaceInput | ImageInput, image: RGBImage, faces: Faces | None
) -> NDArray[np.float32]:
    """The boxes of a task's crops, [n, 4], in pixels of `image`."""
    if isinstance(taken, ImageInput):
        return central_square(image.shape, taken.crop_fraction)[None]
    assert faces is not None  # nosec B101  # detected where a task of faces is asked for
    return faces.boxes
