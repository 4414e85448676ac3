import pytest

from demo.wording import summary, trouble
from face_age_client import (
    Answer,
    ClientError,
    Face,
    Interrupted,
    Malformed,
    Ordinal,
    Refused,
    Unreachable,
)

URL = "http://127.0.0.1:8080"
FACE = Face((0, 0, 9, 9), 0.9, ((0.0, 0.0),) * 5, {"age": Ordinal(40, (30, 50))})


@pytest.mark.parametrize(
    ("error", "words", "detail"),
    [
        (Unreachable("no"), "Start it with scripts/serve.sh, then press Ask again", "no"),
        (Interrupted("broke"), "The service broke off, or took too long", "broke"),
        (Malformed("not JSON"), f"What answers at {URL} is no face-age service", "not JSON"),
        (Refused("UnsupportedImageFormat", "a PDF", 415), "Give it as JPEG, PNG, WebP", "a PDF"),
        (Refused("InvalidImage", "cut", 400), "The photo is damaged or incomplete", "cut"),
        (Refused("InvalidRequest", "no image", 400), "The file is empty", "no image"),
        (Refused("ImageTooLarge", "60 MP", 413), "too many pixels", "60 MP"),
        (Refused("HTTP 413", "bytes", 413), "too large for the service, which takes 20 MB", "byte"),
        (Refused("Unauthorized", "key", 401), "with the key in FACE_AGE_KEY", "key"),
        (Refused("ServiceUnavailable", "full", 503, 2), "too much to do at the moment", "full"),
        (Refused("InternalError", "fault", 500), "gave no answer to this photo", "fault"),
    ],
)
def test_trouble(error: ClientError, words: str, detail: str) -> None:
    told = trouble(error, URL, "age")
    assert words in told.text
    assert detail in told.detail


def test_a_model_that_is_not_there() -> None:
    told = trouble(Refused("ModelNotFoundException", "not found", 404), URL, "birds")
    assert told.text.endswith("Start it with one: scripts/serve.sh --models birds=birds.mar")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Answer(640, 480, (FACE,), "age", "1.0", {}), "1 face"),
        (Answer(640, 480, (FACE, FACE), "age", "1.0", {}), "2 faces, largest first"),
        (Answer(640, 480, (), "birds", "1.0", {}, image={}), ""),
    ],
)
def test_summary(answer: Answer, text: str) -> None:
    assert summary(answer) == text


def test_no_face_says_how_small_one_may_be() -> None:
    text = summary(Answer(4000, 3000, (), "age", "1.0", {}, smallest_face=124.7))
    assert text.startswith(
        "No face was found. Faces narrower than 125 pixels are not looked for in a photo of "
        "4000 x 3000. Take one from nearer,"
    )


def test_no_face_of_a_service_that_does_not_say_how_small() -> None:
    text = summary(Answer(640, 480, (), "age", "1.0", {}))
    assert text.startswith("No face was found. Take one from nearer,")
