"""Explanations of an answer: occlusion maps of its faces and its image."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from handler.answer import Answer, Explanation
from handler.attributes import Crops
from handler.imaging.crop import central_square, square
from handler.occlusion import occlusion_map
from handler.predictor import Predictor
from handler.task import ImageInput, Task

Maps = Mapping[str, Sequence[NDArray[np.float32]]]  # by the tasks' names, of each face or the image


def occlusion_maps(
    crops: Crops,
    predictors: Iterable[Predictor],
    limit: int,
    progress: Callable[[], object] = lambda: None,
) -> Maps:
    """The maps of an image, and of its first `limit` faces.

    Args:
        crops: what the predictors take.
        progress: called after each map.
    """
    return {
        predictor.task.name: [
            occlusion_map(predictor, pixels, progress)
            for pixels in torch.as_tensor(crops[predictor.task.input])[:limit].cpu().numpy()
        ]
        for predictor in predictors
    }


def explained(answer: Answer, maps: Maps, tasks: Sequence[Task]) -> Answer:
    """The answer with its maps, and with where on the image they lie.

    Args:
        tasks: of the answer.
    """
    of_faces = [task for task in tasks if task.is_of_faces]
    of_image = [task for task in tasks if not task.is_of_faces]
    if of_image:
        size = answer.height, answer.width
        found = {
            task.name: _explanation(_image_area(task, size), maps, 0, task) for task in of_image
        }
        answer = replace(answer, image_explanations=found)
    if answer.faces is None:
        return answer
    explained_faces = len(maps[of_faces[0].name])
    faces = [
        replace(
            face,
            explanations={
                task.name: _explanation(_face_area(task, face.box), maps, i, task)
                for task in of_faces
            },
        )
        for i, face in enumerate(answer.faces[:explained_faces])
    ]
    return replace(answer, faces=(*faces, *answer.faces[explained_faces:]))


def _explanation(area: tuple[float, ...], maps: Maps, index: int, task: Task) -> Explanation:
    return Explanation(area, tuple(map(tuple, maps[task.name][index].tolist())))


def _face_area(task: Task, box: tuple[float, ...]) -> tuple[float, ...]:
    left, top, side = square(np.array(box, np.float32), task.input.crop.margin)
    return left, top, left + side, top + side


def _image_area(task: Task, size: tuple[int, int]) -> tuple[float, ...]:
    assert isinstance(task.input, ImageInput)  # nosec B101  # of the image
    return tuple(central_square(size, task.input.crop_fraction).tolist())
