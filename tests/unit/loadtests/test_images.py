import io
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from face_age_client.answer import Answer, Face, Ordinal
from face_age_client.errors import Malformed
from loadtests.checks import check
from loadtests.images import EncodedImage, find, variants
from tests.images import astronaut, encoded, turned


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(encoded(astronaut()))
    return path


def test_never_the_same_bytes(file):
    images = [p for seed in (1, 2) for p in islice(variants([file], 1, seed), 20)]
    assert len({p.body for p in images}) == 40
    for image in images:
        with Image.open(io.BytesIO(image.body)) as pil_image:
            assert pil_image.format == "JPEG"
            assert pil_image.size == (image.width, image.height)
        assert image.faces == 1


def test_a_seed_gives_the_same_images_again(file):
    first, second = (list(islice(variants([file], None, 7), 3)) for _ in range(2))
    assert first == second


def test_images_are_upright(tmp_path):
    wide = astronaut()[:300]
    path = tmp_path / "turned.jpg"
    path.write_bytes(turned(wide, 8, "JPEG"))
    for image in islice(variants([path], None, 3), 5):
        assert image.width > 1.4 * image.height
        with Image.open(io.BytesIO(image.body)) as pil_image:
            thumbnail = np.asarray(pil_image.convert("RGB").resize((16, 16)), float)
        plain = np.asarray(Image.fromarray(wide).resize((16, 16)), float)
        assert min(abs(thumbnail - p).mean() for p in (plain, plain[:, ::-1])) < 25


def test_find(tmp_path, file, capsys):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "B.JPG").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "scan.pdf").write_text("")
    assert find(tmp_path) == [tmp_path / "below" / "B.JPG", file]
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].startswith(f"left out: {tmp_path / 'scan.pdf'}: PDF, which is not served; ")
    assert printed[1:] == ["left out, as no images: 1 .txt"]


def test_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match="holds no photos"):
        find(tmp_path)


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no JPEG")
    with pytest.raises(ValueError, match=r"a\.jpg cannot be decoded: cannot identify"):
        next(variants([tmp_path / "a.jpg"], None, 1))


AGE = Ordinal(30.0, (20.0, 40.0))


def answer(width: int = 100, height: int = 80, *boxes: tuple[float, float, float, float]) -> Answer:
    faces = tuple(Face(box, 1.0, ((0.0, 0.0),) * 5, {"age": AGE}) for box in boxes)
    return Answer(width, height, faces, "age", "1.0", {"faces": [...] * len(boxes)})


@pytest.mark.parametrize("faces", [1, None])
def test_good_answer(faces):
    check(answer(100, 80, (-5, 10, 60, 70)), EncodedImage(b"", 100, 80, faces))


def test_good_answer_of_a_model_of_whole_images():
    check(Answer(100, 80, (), "asl", "1.0", {"image": ...}), EncodedImage(b"", 100, 80, 1))


def test_faces_with_different_attributes():
    given = answer(100, 80, (10, 10, 60, 70), (20, 10, 60, 70))
    one, other = given.faces
    given = replace(given, faces=(one, replace(other, predictions={"year": AGE})))
    with pytest.raises(Malformed, match="faces with different attributes"):
        check(given, EncodedImage(b"", 100, 80, 2))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (answer(80, 100, (10, 10, 60, 70)), "another size"),
        (answer(100, 80), "0 faces where there are 1"),
        (answer(100, 80, (150, 10, 190, 70)), "outside the image"),
    ],
)
def test_wrong_answer(given, reason):
    with pytest.raises(Malformed, match=reason):
        check(given, EncodedImage(b"", 100, 80, 1))
