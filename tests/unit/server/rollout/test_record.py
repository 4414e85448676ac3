"""server/rollout/record.py: what a command leaves for the next one."""

from pathlib import Path

import pytest

from server.errors import CommandError
from server.rollout.record import Record, Release, Step, locked

RECORD = Record(
    "age",
    Release("1.0", "aaaaaaaaaaaa", "/models/age.mar", 2),
    Release("2.0", "bbbbbbbbbbbb", "/models/age-2.mar", 2),
    Step.SHARING,
    figures={"comparing": {"pairs": 200, "psi of age": 0.1}},
)


def test_written_and_read(tmp_path: Path) -> None:
    assert Record.read(tmp_path) is None
    RECORD.write(tmp_path)
    assert Record.read(tmp_path) == RECORD
    assert RECORD.said(RECORD.candidate) == "age 2.0, weights bbbbbbbbbbbb"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": "dancing"}'])
def test_another_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "rollout.json").write_text(text)
    with pytest.raises(CommandError, match=r"rollout.json cannot be read .*: remove it"):
        Record.read(tmp_path)


def test_final_steps() -> None:
    assert {step for step in Step if step.is_final} == {Step.PROMOTED, Step.ROLLED_BACK}


def test_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(CommandError, match=r"runs already \(process \d+\)"):  # noqa: SIM117
        with locked(tmp_path):
            pass
    with locked(tmp_path):
        pass
