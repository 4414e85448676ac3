"""Archives of several tasks, and of whole images: every option of theirs, every way to send it."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handler.options import Options
from handler.rotation import turned
from tests.images import FACE_BOX, astronaut, encoded, scaled, scene, side_by_side
from tests.service.exchange import assert_same, expected_of, multipart, over_grpc, rest
from tests.service.test_rest import JPEG, TWO_FACES, as_json, base64_of
from tests.torchserve import Service

Values = Mapping[str, Any]
Ask = Callable[[Service, str, bytes, Values], Any]  # gives the JSON of the answer or the failure


def text(value: Any) -> str:
    """An option's value as headers and parts spell it."""
    return ",".join(value) if isinstance(value, list) else str(value).lower()


def raw(service: Service, model: str, image: bytes, options: Values) -> Any:
    headers = {"X-" + name.replace("_", "-").title(): text(v) for name, v in options.items()}
    return rest(service, image, headers, f"/predictions/{model}").content


def form(service: Service, model: str, image: bytes, options: Values) -> Any:
    fields = {name: (text(value).encode(), None) for name, value in options.items()}
    body, headers = multipart({"data": (image, "image/jpeg"), **fields})
    return rest(service, body, headers, f"/predictions/{model}").content


def in_json(service: Service, model: str, image: bytes, options: Values) -> Any:
    body, headers = as_json(data=base64_of(image), **options)
    return rest(service, body, headers, f"/predictions/{model}").content


def rpc(service: Service, model: str, image: bytes, options: Values) -> Any:
    entries = {name: text(value).encode() for name, value in options.items()}
    return over_grpc(service, {"data": image, **entries}, model=model)


WAYS = {"raw": raw, "form": form, "JSON": in_json, "gRPC": rpc}


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = WAYS[request.param]
    return way


@pytest.fixture
def files(model_file: Path, tint_file: Path, colour_file: Path) -> dict[str, tuple[Path, ...]]:
    """The models of each archive."""
    return {"faces": (model_file, tint_file), "colour": (colour_file,)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attributes": ["age"]},
        {"attributes": ["tint"], "top_k": 2},
        {"attributes": ["age", "tint"], "top_k": 1, "max_faces": 1},
        {"distribution": True, "quality": True, "relative": True, "min_confidence": 0.5},
        {"distribution": False, "quality": False, "relative": False},
    ],
    ids=lambda options: json.dumps(options),
)
def test_faces(
    service: Service, ask: Ask, files: dict[str, tuple[Path, ...]], options: Values
) -> None:
    content = ask(service, "faces", TWO_FACES, options)
    chosen = {**options, "attributes": tuple(options.get("attributes", ()))}
    wanted = expected_of("faces", files["faces"], TWO_FACES, Options(**chosen))
    assert_same(content, wanted)
    assert content["model"] == wanted["model"]


@pytest.mark.parametrize("options", [{}, {"attributes": ["colour"], "top_k": 1}], ids=["all", "1"])
def test_whole_image(
    service: Service, ask: Ask, files: dict[str, tuple[Path, ...]], options: Values
) -> None:
    content = ask(service, "colour", JPEG, options)
    assert list(content) == ["width", "height", "image", "model"]
    chosen = {**options, "attributes": tuple(options.get("attributes", ()))}
    assert_same(content, expected_of("colour", files["colour"], JPEG, Options(**chosen)))


def test_what_is_asked_for_is_there(service: Service, ask: Ask) -> None:
    options = {"distribution": True, "quality": True, "relative": True, "top_k": 1}
    content = ask(service, "faces", JPEG, options)
    (face,) = content["faces"]
    assert list(face) == [
        *("box", "relative_box", "confidence", "landmarks", "age", "age_interval"),
        *("age_distribution", "tint", "tint_probability", "tint_scores", "tint_set", "quality"),
    ]
    size = [content["width"], content["height"]] * 2
    assert np.array(face["relative_box"]) * size == pytest.approx(np.array(face["box"]), abs=0.06)
    distribution = face["age_distribution"]["probabilities"]
    assert (face["age_distribution"]["low"], len(distribution)) == (0, 117)
    assert sum(distribution) == pytest.approx(1, abs=1e-3)
    low, high = (int(year) for year in face["age_interval"])
    assert sum(distribution[low : high + 1]) > 0.9
    assert face["tint_scores"] == {face["tint"]: face["tint_probability"]}
    assert face["tint"] in face["tint_set"]
    assert face["quality"].keys() == {"sharpness", "brightness", "roll"}
    assert 0 < face["quality"]["brightness"] < 1
    assert abs(face["quality"]["roll"]) < 10


def test_on_its_side(service: Service, ask: Ask, files: dict[str, tuple[Path, ...]]) -> None:
    on_its_side = encoded(turned(astronaut()[:400], 90), "JPEG")
    content = ask(service, "faces", on_its_side, {"rotate": "auto", "relative": True})
    wanted = Options(rotate="auto", relative=True)
    assert_same(content, expected_of("faces", files["faces"], on_its_side, wanted))
    assert (content["width"], content["height"], content["rotation"]) == (400, 512, 270)
    (face,) = content["faces"]
    x1, y1, x2, y2 = FACE_BOX
    assert face["box"] == pytest.approx([400 - y2, x1, 400 - y1, x2], abs=4)


def test_no_face(service: Service, ask: Ask) -> None:
    content = ask(service, "faces", encoded(scene(120, 160), "JPEG"), {"quality": True})
    assert (content["faces"], "image" in content) == ([], False)


ONE_OF = "attributes must be one or more of age, tint, with commas between them, not "


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("attributes", "emotion", ONE_OF + "'emotion'"),
        ("attributes", "colour", ONE_OF + "'colour'"),
        ("attributes", "age;tint", ONE_OF + "'age;tint'"),
        ("top_k", "0", "top_k must be a whole number from 1 to 1000, not "),
        ("top_k", "many", "top_k must be a whole number from 1 to 1000, not 'many'"),
        ("distribution", "yes", "distribution must be true or false, not 'yes'"),
        ("quality", "1", "quality must be true or false, not "),
        ("relative", "", "relative must be true or false, not ''"),
        ("rotate", "90", "rotate must be auto, not '90'"),
    ],
)
def test_wrong_values(service: Service, ask: Ask, option: str, value: str, message: str) -> None:
    failure = ask(service, "faces", JPEG, {option: value})
    assert (failure["code"], failure["type"]) == (400, "InvalidOption")
    assert failure["message"].startswith(message)


def test_of_an_archive_of_one_task(service: Service, ask: Ask) -> None:
    (face,) = ask(service, "age", JPEG, {"attributes": ["age"]})["faces"]
    assert face == ask(service, "age", JPEG, {})["faces"][0]
    failure = ask(service, "age", JPEG, {"attributes": ["tint"]})
    assert failure["message"] == (
        "attributes must be one or more of age, with commas between them, not 'tint'"
        if ask is not in_json
        else "attributes must be one or more of age, with commas between them, not ['tint']"
    )


def test_a_header_that_looks_like_an_option(service: Service) -> None:
    reply = rest(service, JPEG, {"X-Attribute": "age"}, "/predictions/faces")
    assert (reply.status, reply.content["type"]) == (400, "InvalidOption")
    assert reply.content["message"].startswith("there is no option 'x-attribute'; known headers ")


# Each waits a second for a batch of eight: good, bad, and of several attributes.
BATCH: list[tuple[Ask, bytes, Values]] = [
    (raw, JPEG, {"attributes": ["age"], "distribution": True}),
    (rpc, TWO_FACES, {"attributes": ["tint"], "top_k": 1}),
    (in_json, JPEG, {"quality": True}),
    (raw, b"%PDF-1.4", {}),
    (form, encoded(scene(90, 60), "JPEG"), {}),
    (rpc, JPEG[:5000], {"attributes": ["age"]}),
    (raw, JPEG, {"attributes": ["mood"]}),
    (
        form,
        encoded(side_by_side(scaled(astronaut(), 1.5), astronaut()), "WEBP"),
        {"relative": True},
    ),
]
STATUS = [200, 200, 200, 415, 200, 400, 400, 200]


class TestBatch:
    def test_answer_is_the_one_alone(self, service: Service) -> None:
        """To the last printed digit."""
        alone = [ask(service, "faces", image, options) for ask, image, options in BATCH]
        assert [content.get("code", 200) for content in alone] == STATUS
        for _ in range(3):
            with ThreadPoolExecutor(len(BATCH)) as pool:
                futures = [
                    pool.submit(ask, service, "faces", image, options)
                    for ask, image, options in BATCH
                ]
                together = [future.result() for future in futures]
            assert together == alone

    def test_answer_is_the_pipelines(
        self, service: Service, files: dict[str, tuple[Path, ...]]
    ) -> None:
        with ThreadPoolExecutor(len(BATCH)) as pool:
            futures = [
                pool.submit(ask, service, "faces", image, options) for ask, image, options in BATCH
            ]
            contents = [future.result() for future in futures]
        for (_, image, options), content, status in zip(BATCH, contents, STATUS, strict=True):
            if status != 200:
                assert content["code"] == status
                continue
            chosen = {**options, "attributes": tuple(options.get("attributes", ()))}
            assert_same(content, expected_of("faces", files["faces"], image, Options(**chosen)))

    def test_of_whole_images(self, service: Service) -> None:
        images = [JPEG, b"", encoded(scene(50, 80), "JPEG"), TWO_FACES, JPEG[:3000]]
        alone = [rpc(service, "colour", image, {}) for image in images]
        assert [content.get("code", 200) for content in alone] == [200, 400, 200, 200, 400]
        with ThreadPoolExecutor(len(images)) as pool:
            together = list(pool.map(lambda image: rpc(service, "colour", image, {}), images))
        assert together == alone
