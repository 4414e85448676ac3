import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import annotate
import predict
from annotate import BOX, annotated
from client.answer import Answer, Face
from tests.pictures import astronaut, encoded, scene

SCRIPT = Path(predict.__file__)


def face(box, age=38.24, interval=(30.9, 46.0)) -> Face:
    return Face(box, 0.999, ((0.0, 0.0),) * 5, age, interval)


def run(*arguments: object):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_find(tmp_path):
    for name in ("b.jpg", "a.PNG", "c.txt", ".hidden.jpg", "below/d.webp", ".cache/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    named = [tmp_path, tmp_path / "c.txt", tmp_path / "b.jpg", tmp_path / "empty", tmp_path / "no"]
    photographs, problems = predict.find(named)
    found = [path.relative_to(tmp_path).as_posix() for path in photographs]
    assert found == ["a.PNG", "b.jpg", "below/d.webp", "c.txt"]  # once each; c.txt by its name
    assert problems == [
        f"{tmp_path / 'empty'}: no photographs in it",
        f"{tmp_path / 'no'}: no such file or folder",
    ]


def test_plan_for_one(tmp_path):
    photograph, out = tmp_path / "a.jpg", tmp_path / "out.png"
    (job,) = predict.plan([photograph], out, folder=False)
    assert (job.photograph, job.picture) == (photograph, out)
    (job,) = predict.plan([photograph], None, folder=False)
    assert job.picture is None


def test_plan_for_several_keeps_their_folders_apart(tmp_path):
    photographs = [tmp_path / "x" / "a.jpg", tmp_path / "x" / "a.png", tmp_path / "y" / "a.jpg"]
    jobs = predict.plan(photographs, tmp_path / "out", folder=True)
    pictures = [job.picture.relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert pictures == ["x/a.jpg.png", "x/a.png.png", "y/a.jpg.png"]


@pytest.mark.parametrize(
    ("out", "folder", "reason"),
    [
        ("out", False, "give it a name such as out.png"),
        ("out.docx", False, "give it a name such as out.png"),
        ("a.jpg", False, "that would overwrite a photograph"),
        ("a.jpg", True, "give a folder for several photographs"),
    ],
)
def test_plan_that_cannot_work(tmp_path, out, folder, reason):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=reason):
        predict.plan([tmp_path / "a.jpg"], tmp_path / out, folder=folder)


@pytest.mark.parametrize(
    ("faces", "line"),
    [
        ((), "a.jpg: no face"),
        ((face((0, 0, 9, 9)),), "a.jpg: 1 face: 38.2 (31 to 46)"),
        ((face((0, 0, 9, 9)),) * 2, "a.jpg: 2 faces: 38.2 (31 to 46), 38.2 (31 to 46)"),
    ],
)
def test_line_for_a_person(faces, line):
    answer = Answer(10, 10, faces, "age", "1.0", {})
    assert predict.as_text(Path("a.jpg"), answer) == line


def test_json_line():
    answer = Answer(10, 20, (), "age", "1.0", {"width": 10, "height": 20, "faces": []})
    line = predict.as_json(Path("für\nuns.jpg"), answer)
    assert "\n" not in line
    content = {"file": "für\nuns.jpg", "width": 10, "height": 20, "faces": []}
    assert json.loads(line) == content


@pytest.mark.parametrize("words", [[], ["--grpc"]])
def test_nothing_listens(tmp_path, words):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(encoded(astronaut(), "JPEG"))
    url = "127.0.0.1:1" if words else "http://127.0.0.1:1"
    done = run(*words, "--url", url, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {url} does not answer: ")
    assert line.endswith("; start it with scripts/serve.sh")


def test_address_that_is_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    done = run("--url", "localhost", tmp_path / "a.jpg")
    assert done.returncode == 2
    assert done.stderr == "error: localhost is not of the form http://127.0.0.1:8080\n"


@pytest.mark.parametrize("height", [40, 400, 4000])
def test_annotation_grows_with_the_picture(height):
    picture = scene(height, height)
    box = tuple(height * part for part in (0.3, 0.3, 0.7, 0.8))
    image = annotated(picture, [face(box)])
    assert image.size == (height, height)
    drawn = np.asarray(image)
    label = (drawn == BOX).all(axis=2)[: int(0.3 * height)].sum()
    assert 0.002 < label / height**2 < 0.12
    inside = slice(int(0.45 * height), int(0.75 * height))
    assert (
        drawn[inside, inside][:, : height // 5] == picture[inside, inside][:, : height // 5]
    ).all()


def test_annotation_does_not_change_the_picture_it_is_given():
    picture = scene(100, 100)
    before = picture.copy()
    annotated(picture, [face((-10.0, -10.0, 120.0, 130.0))])
    assert (picture == before).all()


def test_labels_of_neighbours_do_not_cover_each_other():
    taken = []
    for box in [(150.0, 200.0, 190.0, 250.0), (165.0, 205.0, 200.0, 245.0)]:
        taken.append(annotate._place((40, 14), box, taken, (400, 400)))
    assert taken[0] == (150, 186, 190, 200)  # above
    assert taken[1] == (162.5, 245, 202.5, 259)  # below


@pytest.mark.parametrize("box", [(-30.0, -40.0, 20.0, 30.0), (90.0, 95.0, 130.0, 140.0)])
def test_labels_stay_in_the_picture(box):
    left, top, right, bottom = annotate._place((40, 14), box, [], (100, 100))
    assert 0 <= left < right <= 100
    assert 0 <= top < bottom <= 100
