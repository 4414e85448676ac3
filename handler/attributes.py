"""The answer to a request: its faces and its image, with the attributes that tasks predict."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handler.answer import (
    Answer,
    Attributes,
    CategoryPrediction,
    Face,
    OrdinalPrediction,
    Quality,
)
from handler.faces.detector import Faces
from handler.faces.quality import quality
from handler.imaging.decode import DecodedImage
from handler.options import Options
from handler.predictions import CategoryPredictions, OrdinalPredictions, Predictions
from handler.task import Categories, FaceInput, ImageInput, Ordinal, Task

# [n, 3, S, S] of one image; tensors are on a GPU
Crops = Mapping[FaceInput | ImageInput, NDArray[np.uint8] | Tensor]


def build_answer(
    decoded: DecodedImage,
    options: Options,
    faces: Faces | None,
    crops: Crops,
    predictions: Sequence[tuple[Task, Predictions]],
    *,
    measure_largest: bool = False,
) -> Answer:
    """The answer for one image.

    Args:
        faces: in pixels of the decoded image; None if no task of faces was asked for.
        crops: by the input of a task, of all faces or of the image.
        predictions: of each task asked for, in the order of the answer.
        measure_largest: whether to give the quality of the largest face, for `handler.drift`.
    """
    of_image = [(task, found) for task, found in predictions if not task.is_of_faces]
    of_faces = [(task, found) for task, found in predictions if task.is_of_faces]
    image = _attributes(of_image, 0, options) if of_image else None
    if faces is None:
        return Answer(decoded.width, decoded.height, None, image)
    original = faces.to_original(0, decoded.scale)
    size = np.array([decoded.width, decoded.height] * 2, np.float32)
    measured: list[Quality] = []
    if options.quality or measure_largest:
        count = len(original) if options.quality else 1
        pixels = torch.as_tensor(crops[of_faces[0][0].input])[:count].cpu().numpy()
        measured = [quality(*each) for each in zip(pixels, original.landmarks, strict=False)]
    rows = zip(
        original.boxes.tolist(),
        original.confidence.tolist(),
        original.landmarks.tolist(),
        (original.boxes / size).tolist(),
        strict=True,
    )
    found = [
        Face(
            tuple(box),
            confidence,
            tuple(map(tuple, landmarks)),
            _attributes(of_faces, i, options),
            tuple(relative) if options.relative else None,
            measured[i] if options.quality else None,
        )
        for i, (box, confidence, landmarks, relative) in enumerate(rows)
    ]
    largest = measured[0] if measure_largest and measured else None
    return Answer(decoded.width, decoded.height, tuple(found), image, largest=largest)


def _attributes(
    predictions: Sequence[tuple[Task, Predictions]], row: int, options: Options
) -> Attributes:
    return {task.name: _prediction(task, found, row, options) for task, found in predictions}


def _prediction(
    task: Task, predictions: Predictions, row: int, options: Options
) -> OrdinalPrediction | CategoryPrediction:
    if isinstance(predictions, OrdinalPredictions):
        assert isinstance(task.output, Ordinal)  # nosec B101  # as its predictor gave it
        return OrdinalPrediction(
            float(predictions.value[row]),
            tuple(predictions.interval[row].tolist()),
            task.output.low,
            tuple(predictions.probabilities[row].tolist()) if options.distribution else None,
        )
    assert isinstance(task.output, Categories)  # nosec B101
    return _category(task.output.names, predictions, row, options.top_k)


def _category(
    names: Sequence[str], predictions: CategoryPredictions, row: int, top_k: int
) -> CategoryPrediction:
    probabilities, chosen = predictions.probabilities[row], predictions.prediction_set[row]
    order = np.argsort(-probabilities, kind="stable")
    first = int(order[0])
    return CategoryPrediction(
        names[first],
        float(probabilities[first]),
        {names[i]: float(probabilities[i]) for i in order[:top_k].tolist()},
        tuple(names[i] for i in order.tolist() if chosen[i]),
    )
