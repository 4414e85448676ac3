"""With a client of the test's own; the shares of the proxy are tried in tests/deploy."""

import io

import pytest
from PIL import Image

from bench import fairness
from face_age_client.errors import Interrupted
from face_age_client.rest import RestClient


class Client(RestClient):
    """Fails at every other image."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def predict(self, image: bytes, **options: object) -> None:  # type: ignore[override]
        self.sent.append(image)
        if len(self.sent) % 2 == 0:
            raise Interrupted("broken off")


def test_portraits_are_sent_at_their_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "PACE", 0.02)
    client = Client()
    took, failed = fairness.portraits(client, 0.3)
    assert len(took) == len(client.sent) <= 16
    assert failed == len(client.sent) // 2 > 0
    with Image.open(io.BytesIO(client.sent[0])) as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))


def test_a_crowd_is_of_a_thousand_faces() -> None:
    with Image.open(io.BytesIO(fairness.crowd())) as image:
        first, last = (
            image.crop((x, x, x + 40, x + 40)).resize((1, 1)).getpixel((0, 0)) for x in (0, 1240)
        )
        assert image.size == (1280, 1280)
        assert first == pytest.approx(last, abs=6)
