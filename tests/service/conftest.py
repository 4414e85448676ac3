from pathlib import Path

import pytest

from tests.container import REVISION, TAG, tool
from tests.torchserve import ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.service)


@pytest.fixture(scope="session")
def image() -> None:
    """TAG, built of what lies here."""
    tool("build", str(ROOT), TAG, "--label", f"org.opencontainers.image.revision={REVISION}")
