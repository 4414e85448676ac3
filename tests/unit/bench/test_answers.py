"""bench/answers.py, between two stand-ins for the service."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.answers import Difference, differences, main
from face_age_client.testing import ANSWER, Server, send, serving


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    with serving() as one, serving() as other:
        yield one, other


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["answers", *map(str, words)])
    return main()


def test_differences() -> None:
    one = {"faces": [{"age": 30.1, "box": [1, 2]}], "width": 5}
    assert list(differences(one, json.loads(json.dumps(one)))) == []
    other = {"faces": [{"age": 30.2, "box": [1, 2]}], "width": 5}
    assert list(differences(one, other)) == [Difference("answer.faces[0].age", 30.1, 30.2)]
    assert list(differences(one, {**one, "faces": []}, "a")) == [
        Difference("a.faces", one["faces"], [])
    ]
    assert [each.place for each in differences(one, {"width": 5})] == ["answer"]


def test_equal(
    servers: tuple[Server, Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failure = json.dumps({"code": 400, "type": "InvalidImage", "message": "no"}).encode()
    for server in servers:
        server.respond = lambda handler, body: (
            send(handler, 400, failure) if body == b"bad" else send(handler, 200, ANSWER)
        )
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "inner" / "b.jpg").write_bytes(b"bad")
    assert run(monkeypatch, servers[0].url, servers[1].url, tmp_path) == 0
    printed = capsys.readouterr().out.split()
    assert printed == ["photos", "2", "faces", "0", "refused", "1", "equal", "2"]


def test_a_difference(
    servers: tuple[Server, Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wider = ANSWER.replace(b'"width": 1', b'"width": 2')
    servers[1].respond = lambda handler, _: send(handler, 200, wider)
    (tmp_path / "a.jpg").write_bytes(b"a")
    assert run(monkeypatch, servers[0].url, servers[1].url, tmp_path) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'a.jpg'}: answer.width: 1 and 2\n")


def test_no_photos(
    servers: tuple[Server, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, servers[0].url, servers[1].url, tmp_path) == 1


def test_no_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    nobody = "http://127.0.0.1:9"
    assert run(monkeypatch, nobody, nobody, tmp_path) == 1
    assert capsys.readouterr().err.startswith(f"error: {nobody} does not answer")
