"""server/readiness.py: where it asks; what it says of a real service is in tests/service."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts import canned
from server import readiness
from server.readiness import Addresses, NotReady, WrongAnswer

CONFIG = readiness.ROOT / "config.properties"


class TestAddresses:
    def test_are_those_of_the_file(self) -> None:
        addresses = Addresses.read(CONFIG, {})
        assert addresses.rest.url == "http://127.0.0.1:8080"
        assert addresses.management.url == "http://127.0.0.1:8081"
        assert addresses.metrics.url == "http://127.0.0.1:8082"
        assert (addresses.grpc.host, addresses.grpc.port) == ("127.0.0.1", 7070)
        assert addresses.grpc_management.port == 7071

    def test_defaults_hold_for_what_the_file_leaves_out(self, tmp_path: Path) -> None:
        empty = tmp_path / "config.properties"
        empty.write_text("# inference_address=http://127.0.0.1:1\n\n")
        assert Addresses.read(empty, {}) == Addresses.read(CONFIG, {})

    def test_variables_override_the_file(self) -> None:
        environ = {
            "TS_INFERENCE_ADDRESS": "http://0.0.0.0:80",
            "TS_GRPC_INFERENCE_ADDRESS": "0.0.0.0",
            "TS_GRPC_INFERENCE_PORT": "9090",
        }
        addresses = Addresses.read(CONFIG, environ)
        # every address of this machine is asked on the one that is always there
        assert addresses.rest.url == "http://127.0.0.1:80"
        assert (addresses.grpc.host, addresses.grpc.port) == ("127.0.0.1", 9090)
        assert addresses.management.url == "http://127.0.0.1:8081"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("TS_INFERENCE_ADDRESS", "127.0.0.1:8080"),
            ("TS_INFERENCE_ADDRESS", "http://127.0.0.1:port"),
            ("TS_MANAGEMENT_ADDRESS", "unix:/tmp/socket"),
            ("TS_GRPC_INFERENCE_PORT", "many"),
        ],
    )
    def test_others_are_refused_by_name(self, key: str, value: str) -> None:
        with pytest.raises(NotReady, match=f"^{key.removeprefix('TS_').lower()} is "):
            Addresses.read(CONFIG, {key: value})

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotReady, match=r"nowhere cannot be read: No such file"):
            Addresses.read(tmp_path / "nowhere", {})


def test_probe_image_is_what_the_script_makes() -> None:
    with Image.open(readiness.PROBE_IMAGE) as stored:
        difference = np.asarray(stored, float) - np.asarray(canned.crop(), float)
    assert np.abs(difference).mean() < 3  # of 255: JPEG's losses


@dataclass
class Stand:
    """TorchServe's answers to GET and to the probe image."""

    workers: dict[str, dict[str, list[str]]]  # model, version: the states
    answers: dict[str, Any] = field(default_factory=dict)  # by `model/version`; FACE for the others
    asked: list[str] = field(default_factory=list)

    def get(self, path: str) -> Any:
        if path.startswith("/models?"):
            return {"models": [{"modelName": name} for name in self.workers]}
        name = path.split("/")[2]
        return [
            {"modelVersion": version, "workers": [{"status": state} for state in states]}
            for version, states in self.workers[name].items()
        ]

    def put(self, path: str) -> Any:
        which = path.removeprefix("/predictions/")
        self.asked.append(which)
        return self.answers.get(which, answer(30.5, "3f9a0c1b2d4e"))


def answer(age: float, weights: str) -> Any:
    return {"faces": [{"age": age}], "model": {"weights": weights}}


@pytest.fixture
def check() -> Iterator[Callable[[Stand], str]]:
    """`readiness.check` of a stand-in on a port of its own."""
    stand: Stand

    class Handler(BaseHTTPRequestHandler):
        def reply(self, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.reply(stand.get(self.path))

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(stand.put(self.path))

        def log_message(self, *_: object) -> None:
            pass

    def checked(given: Stand) -> str:
        nonlocal stand
        stand = given
        url = f"http://127.0.0.1:{server.server_port}"
        environ = {"TS_INFERENCE_ADDRESS": url, "TS_MANAGEMENT_ADDRESS": url}
        return readiness.check(Addresses.read(CONFIG, environ))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield checked
        server.shutdown()
        thread.join()


Check = Callable[[Stand], str]

NOTHING = "holds no list of faces, and nothing of the image"
PLACE = {"box": [1, 2, 3, 4], "confidence": 0.99, "landmarks": [[1, 2]]}
NOTHING_FOUND: list[Any] = [
    [],
    {},
    "faces",
    5,
    None,
    {"faces": None},
    {"faces": 5},
    {"faces": [{}]},
    {"faces": [None]},
    {"faces": [PLACE]},
    {"image": None},
    {"image": {}},
    {"image": ["red"]},
    {"faces": [{"age": 30}], "image": {}},
    {"faces": [PLACE], "image": {"colour": "red"}},
]


class TestCheck:
    def test_names_every_version_of_every_model(self, check: Check) -> None:
        workers = {"age": {"1.0": ["READY", "READY"], "2.0": ["READY", "LOADING"]}}
        stand = Stand(workers | {"mine": {"7": ["READY"]}}, {"age/2.0": answer(51, "0123456789ab")})
        words = "worker(s), probe photo: age"
        assert check(stand) == (
            f"ready: age 1.0, weights 3f9a0c1b2d4e, 2 {words} 30.5; "
            f"age 2.0, weights 0123456789ab, 1 {words} 51; "
            f"mine 7, weights 3f9a0c1b2d4e, 1 {words} 30.5"
        )
        assert sorted(stand.asked) == ["age/1.0", "age/2.0", "mine/7"]

    @pytest.mark.parametrize(
        ("states", "words"),
        [(["LOADING", "UNLOADING"], "LOADING, UNLOADING"), ([], "there is none")],
    )
    def test_one_version_without_a_worker_is_enough(
        self, check: Check, states: list[str], words: str
    ) -> None:
        stand = Stand({"age": {"1.0": ["READY"], "2.0": states}})
        with pytest.raises(NotReady) as waiting:
            check(stand)
        assert not isinstance(waiting.value, WrongAnswer)
        assert str(waiting.value) == f"no worker of age 2.0 is READY: {words}"
        assert stand.asked == []

    def test_no_model(self, check: Check) -> None:
        with pytest.raises(NotReady, match=r"^TorchServe has no model$"):
            check(Stand({}))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"faces": []}, "age 2.0 found 0 faces in the probe photo, which shows one"),
            (
                {"faces": [], "image": {"colour": "red"}},
                "age 2.0 found 0 faces in the probe photo, which shows one",
            ),
            *(
                (content, f"age 2.0's answer to the probe photo {NOTHING}")
                for content in NOTHING_FOUND
            ),
        ],
    )
    def test_one_version_with_a_wrong_answer_is_enough(
        self, check: Check, content: Any, words: str
    ) -> None:
        stand = Stand({"age": {"1.0": ["READY"], "2.0": ["READY"]}}, {"age/2.0": content})
        with pytest.raises(WrongAnswer) as broken:
            check(stand)
        assert str(broken.value) == words

    def test_says_what_each_task_found(self, check: Check) -> None:
        tint = {
            "tint": "red",
            "tint_probability": 0.93421,
            "tint_scores": {"red": 0.9},
            "tint_set": ["red"],
        }
        colour = {"colour": "blue", "colour_probability": 0.5}
        face = {**PLACE, "age": 31.2, "age_interval": [20.0, 40.0], **tint}
        model = {"model": {"weights": "3f9a0c1b2d4e"}}
        answers = {
            "faces/1.0": {"faces": [face], **model},
            "colour/1.0": {"image": colour, **model},
            "all/1.0": {"faces": [face], "image": colour, **model},
        }
        names = [name.partition("/")[0] for name in answers]
        line = check(Stand({name: {"1.0": ["READY"]} for name in names}, answers))
        weights = "1.0, weights 3f9a0c1b2d4e, 1 worker(s), probe photo:"
        assert line == (
            f"ready: faces {weights} age 31.2, tint red 0.93; colour {weights} colour blue 0.50; "
            f"all {weights} age 31.2, tint red 0.93, colour blue 0.50"
        )

    def test_another_handler_may_tell_no_weights(self, check: Check) -> None:
        line = check(Stand({"age": {"1": ["READY"]}}, {"age/1": {"faces": [{"age": 3}]}}))
        assert line.startswith("ready: age 1, weights unknown, 1 worker(s), ")
