"""Options, by locust itself."""

import io
import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from PIL import Image

import loadtests
from face_age_client.testing import send

LOCUSTFILE = Path(loadtests.__file__).with_name("locustfile.py")


def locust(folder: Path, *words: str):
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
    command += ["--only-summary", "-r", "1", "--mix", "one=1", "--large", "0", *words, "RestUser"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_slash_at_the_end_of_the_host_and_a_path(server, tmp_path):
    host = server.url.replace("http", "HTTP") + "/faces/"
    done = locust(tmp_path, "-u", "1", "--requests", "1", "--host", host)
    assert {path for path, _, _ in server.requests} == {"/faces/predictions/age"}
    assert "Traceback" not in done.stderr


def test_an_image_model_under_its_own_name(server, tmp_path):
    """Its answer has no faces, and counts as good."""
    sign = {"asl": "A", "asl_probability": 0.9, "asl_scores": {"A": 0.9}, "asl_set": ["A"]}
    sizes: list[tuple[int, int]] = []

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with Image.open(io.BytesIO(body)) as pil_image:
            sizes.append(pil_image.size)
        width, height = sizes[-1]
        model = {"name": "asl", "version": "1.0"}
        answer = {"width": width, "height": height, "image": sign, "model": model}
        send(handler, 200, json.dumps(answer).encode())

    server.respond = respond
    words = ["-u", "1", "--requests", "1", "--host", server.url, "--model-name", "asl"]
    done = locust(tmp_path, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert {path for path, _, _ in server.requests} == {"/predictions/asl"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host", "127.0.0.1:8080"], "--host: 127.0.0.1:8080 is not of the form "),
        (["-u", "0"], "--users 0: there is 1 at least"),
        (["-t", "0s"], "--run-time 0: leave it out"),
        (["--shape", "ramp"], "--shape needs --run-time"),
    ],
)
def test_what_locust_itself_would_take(tmp_path, words, reason):
    done = locust(tmp_path, "-u", "1", *words)
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"error: {reason}")
    assert "Traceback" not in done.stderr
