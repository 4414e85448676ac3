import argparse
import io
import random
from collections import Counter

import pytest
from PIL import Image

from bench.empty.handler import EmptyHandler
from face_age_client.answer import parse
from loadtests import mix
from loadtests.checks import check
from loadtests.images import EncodedImage, marked
from loadtests.mix import Kind, Mix, made, weights_of
from tests.images import astronaut, encoded, scene


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(mix, "SMALL_ONES", 3)
    monkeypatch.setattr(mix, "LARGE_ONES", 1)
    made.cache_clear()
    yield
    made.cache_clear()


def drawn(of: Mix, count: int) -> list[tuple[str, EncodedImage]]:
    source = random.Random(5)
    return [of.draw(source, f"name/{number}") for number in range(count)]


def test_own_images_in_the_mix_that_is_stated():
    images = drawn(made("", "none=1,one=6,many=3", 0.2), 1000)
    kinds = Counter(kind for kind, _ in images)
    for name, weight in (("none", 0.1), ("one", 0.6), ("many", 0.3)):
        assert kinds[f"small, faces: {name}"] == pytest.approx(800 * weight, rel=0.25)
        assert kinds[f"large, faces: {name}"] == pytest.approx(200 * weight, rel=0.4)
    assert sum(kinds.values()) == 1000
    faces = {"none": 0, "one": 1, "many": 12}
    for kind, image in images:
        size, name = kind.split(", faces: ")
        assert image.faces == faces[name]
        assert (image.width * image.height > 11.9e6) == (size == "large")
    assert len({image.body for _, image in images}) == 1000


def test_a_folder_with_a_folder_for_each_number_of_faces(tmp_path):
    for name, image in (("one", astronaut()), ("none", scene(200, 300))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(encoded(image))
    images = drawn(made(str(tmp_path), "none=1,one=1", 0), 50)
    assert {kind for kind, _ in images} == {"small, faces: none", "small, faces: one"}
    for kind, image in images:
        assert image.faces is None
        assert (image.width > 1.3 * image.height) == kind.endswith("none")
    with pytest.raises(ValueError, match="many is missing, and its weight is 2"):
        made(str(tmp_path), "one=1,many=2", 0)


def test_a_folder_as_it_is(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(scene(200, 300)))
    assert {kind for kind, _ in drawn(made(str(tmp_path), "many=1", 0), 5)} == {"small, faces: any"}
    with pytest.raises(ValueError, match="nowhere is no folder"):
        made(str(tmp_path / "nowhere"), "many=1", 0)


def test_weights():
    assert weights_of("none=1,many=2.5") == {"none": 1.0, "many": 2.5}
    assert set(weights_of(mix.WEIGHTS)) == set(mix.FACES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("two=1", "'two' is not one of none, one, many"),
        ("", "'' is not one of"),
        ("one=-1", "the weight of one: -1 is not a number of 0 or more"),
        ("one=nan", "the weight of one: nan is not"),
        ("one=inf", "the weight of one: inf is not"),
        ("one=x", "the weight of one: x is not"),
        ("one", "the weight of one:  is not"),
        ("one=1,one=2", "one has two weights"),
        ("one=0,many=0", "all weights are 0"),
        ("one=1e308,many=1e308", "the weights are too large"),
    ],
)
def test_wrong_weights(text, reason):
    with pytest.raises(ValueError, match=reason):
        weights_of(text)
    with pytest.raises(argparse.ArgumentTypeError, match=reason):
        mix.checked(text)


def test_a_mark_changes_the_bytes_and_no_pixel():
    kind = Kind("one", 1, [EncodedImage(encoded(astronaut(), "JPEG"), 512, 512, 1)])
    plain = kind.images[0]
    (_, first), (_, second) = drawn(Mix([kind]), 2)
    assert len({plain.body, first.body, second.body}) == 3
    pixels = [Image.open(io.BytesIO(p.body)).tobytes() for p in (plain, first, second)]
    assert pixels[0] == pixels[1] == pixels[2]
    with Image.open(io.BytesIO(second.body)) as image:
        assert image.info["comment"] == b"name/1 512x512 1"


@pytest.mark.parametrize("faces", [None, 0, 1, 12])
def test_the_handler_that_does_nothing_answers_so_that_it_passes_every_check(faces):
    image = EncodedImage(encoded(scene(20, 30), "JPEG", comment="other"), 30, 20, faces)
    sent = marked(image, "1795216862000000000/12/345")
    rows = [{"body": bytearray(sent.body)}, {"data": sent.body}]
    answers = [parse(body) for body in EmptyHandler().handle(rows, None)]
    for answer in answers:
        check(answer, image)
        assert len(answer.faces) == (faces or 0)
    (other,) = EmptyHandler().handle([{"body": bytearray(b"no comment")}], None)
    assert len(parse(other).faces) == 1  # what readiness asks for
