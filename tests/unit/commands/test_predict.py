import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from commands import annotate, predict
from commands.annotate import BOX, annotated
from face_age_client.answer import Answer, Face
from face_age_client.testing import send
from handler import requests
from tests.images import astronaut, encoded, scene

SCRIPT = Path(predict.__file__)


def face(box, age=38.24, interval=(30.9, 46.0)) -> Face:
    return Face(box, 0.999, ((0.0, 0.0),) * 5, age, interval)


def command(*arguments: object) -> list[object]:
    return [sys.executable, SCRIPT, *arguments]


def run(*arguments: object, **words):
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "check": False}
    return subprocess.run(command(*arguments), **(options | words))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two images, one of which has a name that is not UTF-8 and has two lines."""
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("a.jpg", "b\udce9\n.jpg"):
        (folder / name).write_bytes(encoded(scene(1, 1), "JPEG"))
    return folder


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


def test_json_line_of_a_name_that_is_not_utf_8():
    line = predict.as_json(Path("b\udce9.jpg"), Answer(10, 20, (), "age", "1.0", {}))
    assert json.loads(line.encode()) == {"file": r"b\xe9.jpg", "file_base64": "YukuanBn"}


@pytest.mark.parametrize("words", [[], ["--grpc"]])
def test_nothing_listens(tmp_path, words):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(encoded(astronaut(), "JPEG"))
    url = "127.0.0.1:1" if words else "http://127.0.0.1:1"
    done = run(*words, "--url", url, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {url} does not answer: ")
    assert line.endswith("; 1 more not asked; start it with scripts/serve.sh")


def test_address_that_is_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    done = run("--url", "localhost", tmp_path / "a.jpg")
    assert done.returncode == 2
    assert done.stderr == "error: localhost is not of the form http://127.0.0.1:8080\n"


def ended_with(capsys, monkeypatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["predict.py", *words])
    with pytest.raises(SystemExit) as ended:
        predict.arguments()
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("predict.py: error: argument ")


def test_an_empty_name_is_not_the_folder_that_one_is_in(capsys, monkeypatch):
    line = ended_with(capsys, monkeypatch, "")
    assert line == "PHOTO: an empty name is no file"
    line = ended_with(capsys, monkeypatch, "a.jpg", "--annotate", "")
    assert line == "--annotate: an empty name is no file"


def test_an_empty_address_is_not_the_default(monkeypatch):
    for words in ([], ["--grpc"]):
        monkeypatch.setattr(sys, "argv", ["predict.py", "a.jpg", "--url", "", *words])
        with pytest.raises(ValueError, match="is not of the form"):
            predict.connector(predict.arguments())


@pytest.mark.parametrize(
    ("option", "numbers", "key"),
    [
        ("--max-faces", ("0", "1001", "5000", "1.5", "nan"), "max_faces"),
        ("--min-confidence", ("-0.1", "7", "nan", "sure"), "min_confidence"),
    ],
)
def test_options_have_the_ranges_of_the_service(option, numbers, key, capsys, monkeypatch):
    allowed = requests._RANGES[key]
    for number in numbers:
        line = ended_with(capsys, monkeypatch, "a.jpg", option, number)
        assert line == f"{option}: {number} is not {allowed}"
    for number in (allowed.low, allowed.high):
        monkeypatch.setattr(sys, "argv", ["predict.py", "a.jpg", option, str(number)])
        assert getattr(predict.arguments(), key) == number


def test_files_that_are_no_images_are_reported(server, folder):
    (folder / "c.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "notes.txt").write_text("")
    done = run("--url", server.url, folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {folder}/c.heic: HEIC, which is not served; convert it, for example with "
        "heif-convert a.heic a.jpg (on a Mac: sips -s format jpeg)",
        "left out, as no images: 1 .txt",
    ]
    assert done.stdout.splitlines() == [
        f"{folder}/a.jpg: no face",
        f"{folder}/b\\xe9\\n.jpg: no face",
    ]
    (folder / "c.heic").unlink()
    assert run("--url", f"{server.url}/", folder).returncode == 0


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_any_name_in_any_locale(server, folder, environ):
    (folder / "ü.jpg").write_bytes(encoded(scene(1, 1), "JPEG"))
    environ = os.environ | environ
    text = run("--url", server.url, folder, env=environ)
    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout.splitlines()[1] == f"{folder}/b\\xe9\\n.jpg: no face"
    done = run("--url", server.url, folder, "--json", "--annotate", "out", env=environ, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    files = [json.loads(line)["file"] for line in done.stdout.splitlines()]
    assert files == [f"{folder}/a.jpg", f"{folder}/b\\xe9\\n.jpg", f"{folder}/ü.jpg"]
    assert sorted(os.listdir(os.fsencode(folder / "out"))) == [
        b"a.jpg.png",
        b"b\xe9\n.jpg.png",
        "ü.jpg.png".encode(),
    ]


def test_the_others_are_done_where_one_cannot_be_written(server, folder):
    (folder / "out").mkdir()
    (folder / "out" / "a.jpg.png").mkdir()
    done = run(
        "--url", server.url, folder / "a.jpg", *folder.glob("b*"), "--annotate", "out", cwd=folder
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2  # its answer came all the same
    assert done.stderr == f"error: {folder}/a.jpg: out/a.jpg.png is not written: Is a directory\n"
    assert len(list((folder / "out").iterdir())) == 2


def test_a_file_that_is_far_too_large_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(predict, "LARGEST", 2**20)
    with (folder / "a.jpg").open("wb") as file:
        file.truncate(2**20)
    assert len(predict._read(folder / "a.jpg")) == 2**20
    with (folder / "a.jpg").open("wb") as file:
        file.truncate(2**40)  # no block of it is on the disk
    with pytest.raises(OSError, match="it has over 1 MB, and is not sent"):
        predict._read(folder / "a.jpg")


def test_words_of_the_service_stay_on_one_line(server, folder):
    body = json.dumps({"code": 400, "type": "Odd", "message": "a\nb\x1b[2J"}).encode()
    server.respond = lambda handler, _: send(handler, 400, body)
    done = run("--url", server.url, folder / "a.jpg")
    assert done.stderr == f"error: {folder}/a.jpg: Odd: a\\nb\\x1b[2J\n"


def test_ctrl_c_ends_at_once(folder):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            command("--url", url, folder),
            stderr=subprocess.PIPE,
            # what a shell starts in its background ignores it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            connection, _ = silent.accept()
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
            connection.close()
    assert (process.returncode, errors) == (130, b"error: stopped\n")
    assert time.monotonic() - start < 5


def test_nobody_reads_the_answers(server, folder):
    read, write = os.pipe()
    os.close(read)
    done = run(
        "--url", server.url, folder, capture_output=False, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_disk_is_full(server, folder):
    with open("/dev/full", "w") as full:
        done = run(
            "--url", server.url, folder, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert done.stderr == "error: the answers cannot be written: No space left on device\n"


@pytest.mark.parametrize("height", [40, 400, 4000])
def test_annotation_grows_with_the_image(height):
    image = scene(height, height)
    box = tuple(height * part for part in (0.3, 0.3, 0.7, 0.8))
    pil_image = annotated(image, [face(box)])
    assert pil_image.size == (height, height)
    drawn = np.asarray(pil_image)
    label = (drawn == BOX).all(axis=2)[: int(0.3 * height)].sum()
    assert 0.002 < label / height**2 < 0.12
    inside = slice(int(0.45 * height), int(0.75 * height))
    assert (
        drawn[inside, inside][:, : height // 5] == image[inside, inside][:, : height // 5]
    ).all()


def test_annotation_does_not_change_the_image_it_is_given():
    image = scene(100, 100)
    before = image.copy()
    annotated(image, [face((-10.0, -10.0, 120.0, 130.0))])
    assert (image == before).all()


def test_labels_of_neighbours_do_not_cover_each_other():
    taken = []
    for box in [(150.0, 200.0, 190.0, 250.0), (165.0, 205.0, 200.0, 245.0)]:
        taken.append(annotate._place((40, 14), box, taken, (400, 400)))
    assert taken[0] == (150, 186, 190, 200)  # above
    assert taken[1] == (162.5, 245, 202.5, 259)  # below


@pytest.mark.parametrize("box", [(-30.0, -40.0, 20.0, 30.0), (90.0, 95.0, 130.0, 140.0)])
def test_labels_stay_in_the_image(box):
    left, top, right, bottom = annotate._place((40, 14), box, [], (100, 100))
    assert 0 <= left < right <= 100
    assert 0 <= top < bottom <= 100
