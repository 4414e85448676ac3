import json
from dataclasses import replace
from pathlib import Path

import pytest

from demo import options
from demo.asking import Asker
from demo.cards import Found
from demo.wording import Trouble
from face_age_client.testing import ANSWER, send, serving

JPEG = b"\xff\xd8\xff drawn"


def test_an_answer_and_its_picture() -> None:
    with serving() as server:
        server.respond = lambda handler, _: send(
            handler, 200, JPEG if "X-annotate" in handler.headers else ANSWER
        )
        asker = Asker.of(options.read(["--url", server.url]), "birds")
        found = asker.ask(b"photo", {"max_faces": 3})
    assert isinstance(found, Found)
    assert (found.answer.width, found.picture) == (1, JPEG)
    for (path, headers, body), kind in zip(server.requests, (None, "jpeg"), strict=True):
        assert (path, body) == ("/predictions/birds", b"photo")
        assert (headers["x-max-faces"], headers.get("x-annotate")) == ("3", kind)


def test_what_a_model_predicts() -> None:
    age = {"age": 40.0, "age_interval": [30.0, 50.0]}
    mood = {"mood": "glad", "mood_probability": 1.0, "mood_scores": {"glad": 1.0}}
    mood["mood_set"] = ["glad"]
    face = {"box": [1, 2, 3, 4], "confidence": 1, "landmarks": [[1, 2]] * 5, **age}
    content = json.loads(ANSWER) | {"image": mood, "faces": [face, face]}
    with serving() as server:
        server.respond = lambda handler, _: send(handler, 200, json.dumps(content).encode())
        asker = Asker.of(options.read(["--url", server.url]), "faces")
        assert asker.attributes(b"photo") == ("mood", "age")
        server.respond = lambda handler, _: send(handler, 404, b"")
        assert asker.attributes(b"photo") == ()
    assert [path for path, _, _ in server.requests] == ["/predictions/faces"] * 2


def test_a_refusal_is_told() -> None:
    failure = json.dumps({"code": 400, "type": "InvalidImage", "message": "cut"}).encode()
    with serving() as server:
        server.respond = lambda handler, _: send(handler, 400, failure)
        told = Asker.of(options.read(["--url", server.url]), "age").ask(b"photo", {})
    assert isinstance(told, Trouble)
    assert told.detail == "cut"
    assert len(server.requests) == 1


def test_what_cannot_be_asked_is_an_error_at_the_start() -> None:
    settings = options.read(["--url", "http://127.0.0.1:1"])
    with pytest.raises(ValueError, match="the key holds a space"):
        Asker.of(replace(settings, key="a b"), "age")
    secure = replace(settings, url="https://example.org", certificates=Path("none.pem"))
    with pytest.raises(FileNotFoundError):
        Asker.of(secure, "age")
