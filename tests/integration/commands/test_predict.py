"""commands/predict.py in a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from commands import predict
from face_age_client.testing import send
from tests.images import astronaut, encoded, heic, scene

SCRIPT = Path(predict.__file__)


def command(*arguments: object) -> list[object]:
    return [sys.executable, SCRIPT, *arguments]


def run(*arguments: object, **words):
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "check": False}
    return subprocess.run(command(*arguments), **(options | words))


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


def test_options_reach_the_service(server, folder):
    words = ["--attributes", "age,emotion", "--top-k", "3", "--distribution", "--quality"]
    done = run("--url", server.url, folder / "a.jpg", "--model-name", "faces", *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    ((path, headers, _),) = server.requests
    assert path == "/predictions/faces"
    assert {name: text for name, text in headers.items() if name.startswith("x-")} == {
        "x-attributes": "age,emotion",
        "x-top-k": "3",
        "x-distribution": "true",
        "x-quality": "true",
    }


def test_files_that_are_no_images_are_reported(server, folder):
    (folder / "c.tiff").write_bytes(b"II*\0")
    (folder / "notes.txt").write_text("")
    done = run("--url", server.url, folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {folder}/c.tiff: TIFF, which is not served; convert it, for example with "
        "magick a.tif a.png",
        "left out, as no images: 1 .txt",
    ]
    assert done.stdout.splitlines() == [
        f"{folder}/a.jpg: no face",
        f"{folder}/b\\xe9\\n.jpg: no face",
    ]
    (folder / "c.tiff").unlink()
    assert run("--url", f"{server.url}/", folder).returncode == 0


def test_heic_and_avif(server, folder):
    """With the extra heif they are sent, and drawn on."""
    for file in folder.iterdir():
        file.unlink()
    answer = {"width": 96, "height": 64, "faces": [], "model": {"name": "age", "version": "1.0"}}
    server.respond = lambda handler, _: send(handler, 200, json.dumps(answer).encode())
    bodies = {"a.avif": encoded(scene(64, 96), "AVIF"), "b.heic": heic(scene(64, 96))}
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    done = run("--url", server.url, folder, "--annotate", "out", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{folder}/{name}: no face" for name in bodies]
    assert sorted(body for _, _, body in server.requests) == sorted(bodies.values())
    for name in bodies:
        with Image.open(folder / "out" / f"{name}.png") as drawn:
            assert drawn.size == (96, 64)


def test_rotate_reaches_the_service(server, folder):
    answer = {"width": 9, "height": 9, "faces": [], "rotation": 90}
    answer["model"] = {"name": "age", "version": "1.0"}
    server.respond = lambda handler, _: send(handler, 200, json.dumps(answer).encode())
    done = run("--url", server.url, folder / "a.jpg", "--rotate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{folder}/a.jpg: no face; turned by 90 degrees\n"
    ((_, headers, _),) = server.requests
    assert headers["x-rotate"] == "auto"


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
