"""All four clients, and the README's own Python, ask a real service."""

import asyncio
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from face_age_client.aio import AsyncRestClient
from face_age_client.answer import Answer, Category, Ordinal
from face_age_client.errors import Refused
from face_age_client.rest import RestClient
from face_age_client.rpc import AsyncGrpcClient, GrpcClient
from handler.rotation import turned
from tests.images import astronaut, encoded
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


async def answer_async(
    client: AsyncRestClient | AsyncGrpcClient, image: bytes, **options: Any
) -> Answer:
    async with client:
        return await client.predict(image, **options)


def of_four_clients(service: Service, model: str, image: bytes = JPEG, **options: Any) -> Answer:
    """Their answer to one face, which must be the same."""
    with (
        RestClient(service.rest, model=model) as rest,
        GrpcClient(service.grpc, model=model) as rpc,
    ):
        answers = [rest.predict(image, **options), rpc.predict(image, **options)]
    for client in (
        AsyncRestClient(service.rest, model=model),
        AsyncGrpcClient(service.grpc, model=model),
    ):
        answers.append(asyncio.run(answer_async(client, image, **options)))
    first, *others = answers
    assert others == [first] * 3
    return first


def test_a_category_with_all_options(service: Service) -> None:
    options = {"attributes": ["tint"], "top_k": 2, "quality": True, "relative": True}
    (face,) = of_four_clients(service, "faces", **options).faces
    tint = face.predictions["tint"]
    assert face.predictions == {"tint": tint}
    assert isinstance(tint, Category)
    assert len(tint.scores) == 2
    assert next(iter(tint.scores.items())) == (tint.label, tint.probability)
    assert tint.prediction_set[0] == tint.label
    assert face.quality is not None
    assert 0 < face.quality.brightness < 1
    assert face.relative_box is not None
    assert face.relative_box == pytest.approx([x / 512 for x in face.box], abs=1e-3)
    with pytest.raises(AttributeError, match="no age in years"):
        _ = face.age


def test_two_attributes_and_a_distribution(service: Service) -> None:
    (face,) = of_four_clients(service, "faces", distribution=True).faces
    assert list(face.predictions) == ["age", "tint"]
    age = face.predictions["age"]
    assert isinstance(age, Ordinal)
    assert (face.age, face.age_interval) == (age.value, age.interval)
    assert age.distribution is not None
    assert list(age.distribution) == list(range(117))
    assert sum(age.distribution.values()) == pytest.approx(1, abs=1e-3)


def test_explanations(service: Service) -> None:
    with RestClient(service.rest) as client:
        explained = client.explain(JPEG, max_faces=1)
        plain = client.predict(JPEG, max_faces=1)

    async def explain() -> Answer:
        async with AsyncRestClient(service.rest) as client:
            return await client.explain(JPEG, max_faces=1)

    assert asyncio.run(explain()) == explained
    (face,) = explained.faces
    assert face.explanations is not None
    found = face.explanations["age"]
    assert [len(row) for row in found.effects] == [8] * 8
    assert found.area == pytest.approx(face.box, abs=20)
    assert [replace(face, explanations=None)] == [*plain.faces]


@pytest.mark.parametrize("sent", [90, 180, 270])
def test_rotate(service: Service, sent: int) -> None:
    (upright,) = of_four_clients(service, "age", image=JPEG).faces
    answer = of_four_clients(
        service, "age", image=encoded(turned(astronaut(), sent), "JPEG"), rotate="auto"
    )
    assert answer.rotation == -sent % 360
    (face,) = answer.faces
    assert face.age == pytest.approx(upright.age, abs=2)


def test_whole_image(service: Service) -> None:
    answer = of_four_clients(service, "colour")
    assert answer.faces == ()
    assert answer.image is not None
    assert list(answer.image) == ["colour"]


def test_an_attribute_that_the_model_has_not(service: Service) -> None:
    with RestClient(service.rest) as client, pytest.raises(Refused, match="attributes must be"):
        client.predict(JPEG, attributes="tint")


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
