"""The Python of client/README.md, run as it stands there with the addresses of stand-ins."""

import json
import re
import subprocess
import sys
from pathlib import Path

from face_age_client.testing import send

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
FACE = {"box": [1, 2, 30, 40], "confidence": 1.0, "landmarks": [[1, 2]] * 5, "age": 39.7}
AGE = {"age_interval": [29.1, 58.9]}
EXPLANATION = {"age_explanation": {"area": [1, 2, 30, 40], "effects": [[0.5, -0.5], [1, 0]]}}
EMOTION = {
    "emotion": "happy",
    "emotion_probability": 0.93,
    "emotion_scores": {"happy": 0.93, "sad": 0.05, "fear": 0.01},
    "emotion_set": ["happy"],
}
ANSWER = {
    "width": 50,
    "height": 50,
    "faces": [FACE | AGE],
    "model": {"name": "age", "version": "1.0"},
}
REFUSAL = {"code": 415, "type": "UnsupportedImageFormat", "message": "send JPEG"}


def test_all_blocks(server, servicer, address, tmp_path):
    def respond(handler, body):
        status, content = (415, REFUSAL) if body == b"text" else (200, ANSWER)
        if handler.path == "/predictions/faces":
            content = ANSWER | {"faces": [FACE | AGE | EMOTION]}
        if handler.path == "/explanations/age":
            content = ANSWER | {"faces": [FACE | AGE | EXPLANATION]}
        send(handler, status, json.dumps(content).encode())

    server.respond, servicer.body = respond, json.dumps(ANSWER).encode()
    for name, content in (("photo.jpg", b"x"), ("other.jpg", b"y"), ("notes.txt", b"text")):
        (tmp_path / name).write_bytes(content)
    printed = []
    for block in BLOCKS:
        code = block.replace("http://127.0.0.1:8080", server.url).replace("127.0.0.1:7070", address)
        assert code != block
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        printed.append(done.stdout)
    first, others, second, third, explained, fourth = printed
    assert first == "39.7 (29.1, 58.9) (1.0, 2.0, 30.0, 40.0)\n"
    assert others == "age 39.7 (29.1, 58.9)\nemotion happy 0.93 ('happy',)\n"
    assert second == "[39.7]\n[39.7]\n"
    assert third.startswith("(Face(box=(1.0, 2.0, 30.0, 40.0), confidence=1.0, ")
    assert explained == "(1.0, 2.0, 30.0, 40.0) ((0.5, -0.5), (1.0, 0.0))\n"
    assert fourth == "UnsupportedImageFormat 415\n"
    assert servicer.requests[0].input["max_faces"] == b"1"
