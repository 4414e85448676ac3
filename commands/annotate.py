"""Draws the answers of a service on their images."""

from PIL import Image

from face_age_client.answer import Answer
from handler.imaging import annotate
from handler.imaging.crop import RGBImage


def annotated(image: RGBImage, answer: Answer) -> Image.Image:
    """A copy of the answer's upright RGB image, [H, W, 3], with its faces and predictions."""
    labels = [annotate.label_of(face.box, face.predictions.values()) for face in answer.faces]
    if answer.image is not None:
        labels.insert(0, annotate.label_of(None, answer.image.values()))
    return annotate.annotated(image, labels)
