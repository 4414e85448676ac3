from collections.abc import Iterator

import pytest

from face_age_client.testing import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server
