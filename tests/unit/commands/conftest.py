from collections.abc import Iterator
from pathlib import Path

import pytest

from face_age_client.testing import Server, serving
from tests.images import encoded, scene


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two images, one of which has a name that is not UTF-8 and has two lines."""
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("a.jpg", "b\udce9\n.jpg"):
        (folder / name).write_bytes(encoded(scene(1, 1), "JPEG"))
    return folder
