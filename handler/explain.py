"""Explanations of an answer: occlusion maps of its faces and its image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from handler.answer import Answer, Explanation
from handler.attributes import Crops
from handler.imaging.crop import central_square, square
from handler.occlusion import occlusion_map
from handler.predictor import Predictor
from handler.task import FaceInput, ImageInput


def explained(
    answer: Answer,
    crops: Crops,
    predictors: Sequence[Predictor],
    limit: int,
    progress: Callable[[], object] = lambda: None,
) -> Answer:
    """The answer with maps of its image and of its first `limit` faces.

    Args:
        crops: that the answer was predicted from.
        predictors: of the tasks of the answer.
        progress: called after each map.
    """
    of_faces = [p for p in predictors if p.task.is_of_faces]
    of_image = [p for p in predictors if not p.task.is_of_faces]
    if of_image and answer.image is not None:
        size = answer.height, answer.width
        found = {p.task.name: _map(p, crops, 0, _image_area(p, size), progress) for p in of_image}
        answer = replace(answer, image_explanations=found)
    if answer.faces is None:
        return answer
    faces = [
        replace(
            face,
            explanations={
                p.task.name: _map(p, crops, i, _face_area(p, face.box), progress) for p in of_faces
            },
        )
        for i, face in enumerate(answer.faces[:limit])
    ]
    return replace(answer, faces=(*faces, *answer.faces[limit:]))


def _map(
    predictor: Predictor,
    crops: Mapping[FaceInput | ImageInput, object],
    index: int,
    area: tuple[float, ...],
    progress: Callable[[], object],
) -> Explanation:
    pixels = torch.as_tensor(crops[predictor.task.input])[index].cpu().numpy()
    effects = occlusion_map(predictor, pixels, progress)
    return Explanation(area, tuple(map(tuple, effects.tolist())))


def _face_area(predictor: Predictor, box: tuple[float, ...]) -> tuple[float, ...]:
    margin = predictor.task.input.crop.margin
    left, top, side = square(np.array(box, np.float32), margin)
    return left, top, left + side, top + side


def _image_area(predictor: Predictor, size: tuple[int, int]) -> tuple[float, ...]:
    assert isinstance(predictor.task.input, ImageInput)  # nosec B101  # of the image
    return tuple(central_square(size, predictor.task.input.crop_fraction).tolist())
