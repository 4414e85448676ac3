"""All four clients, and the README's own Python, ask a real service."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from face_age_client.aio import AsyncRestClient
from face_age_client.answer import Answer
from face_age_client.errors import Refused
from face_age_client.rest import RestClient
from face_age_client.rpc import AsyncGrpcClient, GrpcClient
from tests.service.exchange import assert_same, expected
from tests.service.test_rest import JPEG, TWO_FACES
from tests.torchserve import ROOT, Service

TOO_LARGE = b"\xff\xd8" + bytes(21 * 2**20)


def answers(client: RestClient | GrpcClient) -> list[Answer | Refused]:
    """To two faces, to the larger of them, to no image, to too many bytes, to one face."""
    found: list[Answer | Refused] = []
    with client:
        found += [client.predict(TWO_FACES), client.predict(TWO_FACES, max_faces=1)]
        for image in (b"GIF89a", TOO_LARGE):
            with pytest.raises(Refused) as refused:
                client.predict(image)
            found.append(refused.value)
        return [*found, client.predict(JPEG)]


async def answers_async(client: AsyncRestClient | AsyncGrpcClient) -> list[Answer | Refused]:
    """The same, the good ones together."""
    async with client:
        two, one, whole = await asyncio.gather(
            client.predict(TWO_FACES), client.predict(TWO_FACES, max_faces=1), client.predict(JPEG)
        )
        refusals = []
        for image in (b"GIF89a", TOO_LARGE):
            with pytest.raises(Refused) as refused:
                await client.predict(image)
            refusals.append(refused.value)
        return [two, one, *refusals, whole]


def test_four_clients(service: Service, model_file: Path) -> None:
    told = [
        answers(RestClient(service.rest)),
        asyncio.run(answers_async(AsyncRestClient(service.rest))),
        answers(GrpcClient(service.grpc)),
        asyncio.run(answers_async(AsyncGrpcClient(service.grpc))),
    ]
    for two, one, invalid, large, whole in told:
        assert isinstance(two, Answer)
        assert isinstance(one, Answer)
        assert isinstance(whole, Answer)
        assert_same(two.content, expected(model_file, TWO_FACES))
        assert one.faces == two.faces[:1]
        assert len(two.faces) == 2
        assert_same(whole.content, expected(model_file, JPEG))
        assert isinstance(invalid, Refused)
        assert (invalid.type, invalid.code) == ("InvalidImage", 400)
        assert isinstance(large, Refused)
        assert large.type in ("HTTP 413", "CANCELLED")


def test_readme(service: Service, tmp_path: Path) -> None:
    """Its Python, ten lines, as it stands there."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block.count("\n") == 10
    code = block.replace("http://127.0.0.1:8080", service.rest)
    assert code != block
    command = [sys.executable, "-W", "error", "-c", code]
    (tmp_path / "photo.jpg").write_bytes(TWO_FACES)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"(\d+ years \(-?\d+ to \d+\)\n){2}", done.stdout)
    (tmp_path / "photo.jpg").write_bytes(b"GIF89a")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: InvalidImage: ")
