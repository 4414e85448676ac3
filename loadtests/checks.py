"""Checks of well-formed answers."""

from face_age_client.answer import Answer
from face_age_client.errors import Malformed
from loadtests.images import EncodedImage


def check(answer: Answer, image: EncodedImage) -> None:
    """Raise Malformed if the answer does not fit the image.

    A model of whole images has no faces in its answer, however many the image has.
    """
    if (answer.width, answer.height) != (image.width, image.height):
        raise Malformed("the answer is to an image of another size")
    if "faces" not in answer.content:
        return
    if image.faces is not None and len(answer.faces) != image.faces:
        raise Malformed(f"{len(answer.faces)} faces where there are {image.faces}")
    if len({tuple(face.predictions) for face in answer.faces}) > 1:
        raise Malformed("faces with different attributes")
    for face in answer.faces:
        left, top, right, bottom = face.box  # a face that the border cuts reaches past it
        if not (left < image.width and right > 0 and top < image.height and bottom > 0):
            raise Malformed("a face outside the image")
