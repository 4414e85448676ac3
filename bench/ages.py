"""Ages in the pipeline's own answers."""

from handler.answer import Face, OrdinalPrediction
from handler.task import FaceInput, Task


def age(face: Face) -> float:
    """The age of a face, years. Raises ValueError if the model predicts another thing."""
    prediction = face.attributes.get("age")
    if not isinstance(prediction, OrdinalPrediction):
        raise ValueError(f"the model predicts {', '.join(face.attributes)}, and no age in years")
    return prediction.value


def face_input(task: Task) -> FaceInput:
    """The input of a task of faces. Raises ValueError for one of whole images."""
    if not isinstance(task.input, FaceInput):
        raise ValueError(f"the model of {task.name} is of whole images, not of faces")
    return task.input
