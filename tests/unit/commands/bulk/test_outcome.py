"""commands/bulk/outcome.py."""

from commands.bulk.outcome import Outcome


def test_rows_and_failures_are_appended() -> None:
    outcome, other = Outcome([{"path": "a"}]), Outcome([{"path": "b"}], [{"path": "c"}])
    outcome.add(other)
    assert outcome == Outcome([{"path": "a"}, {"path": "b"}], [{"path": "c"}])
    assert other == Outcome([{"path": "b"}], [{"path": "c"}])
