"""What a well-formed answer can still have wrong."""

from face_age_client.answer import Answer
from face_age_client.errors import Malformed
from loadtests.photographs import Photograph


def check(answer: Answer, photograph: Photograph) -> None:
    """Raises Malformed where an answer is not one to this photograph."""
    if (answer.width, answer.height) != (photograph.width, photograph.height):
        raise Malformed("the answer is to a photograph of another size")
    if photograph.faces is not None and len(answer.faces) != photograph.faces:
        raise Malformed(f"{len(answer.faces)} faces where there are {photograph.faces}")
    for face in answer.faces:
        left, top, right, bottom = face.box  # a face that the border cuts reaches past it
        if not (left < photograph.width and right > 0 and top < photograph.height and bottom > 0):
            raise Malformed("a face outside the photograph")
