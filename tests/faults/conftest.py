from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from server import archive
from tests.faults.table import Table, with_head

LOST = "lost"  # a property of a test's report, which reaches the process that prints
Making = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.service)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        str(row)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, row in report.user_properties
        if name == LOST and report.when == "call"
    ]
    if rows:
        terminalreporter.section("what was lost")
        terminalreporter.write_line(with_head(rows))


@pytest.fixture
def table(record_property: Callable[[str, object], None]) -> Table:
    """Printed at the end of the run, to be pasted into docs/faults.md."""
    return Table(lambda row: record_property(LOST, row))


@pytest.fixture(scope="session")
def store(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Making:
    """Makes folders with an age.mar."""

    def make(model: Path = model_file, **changes: object) -> Path:
        """`changes`: of the shipped model-config.yaml."""
        folder = tmp_path_factory.mktemp("store")
        config = folder / "model-config.yaml"
        shipped = yaml.safe_load(archive.Recipe((model,)).config.read_text())
        config.write_text(yaml.safe_dump(shipped | changes))
        archive.make(archive.Recipe((model,), config=config), folder / "age.mar")
        return folder

    return make
