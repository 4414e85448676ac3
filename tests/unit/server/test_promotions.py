"""server/promotions.py: what the next start serves in place of what the command line names."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from server import promotions
from server.errors import CommandError
from server.models import ServedModel, read_models


@pytest.fixture
def both(model_store: Path) -> Sequence[ServedModel]:
    """Versions 1.0 and 2.0 of age."""
    return read_models(["age=age.mar", "age=age-2.0.mar"], model_store, foreign=False)


def promote(state: Path, before: ServedModel, after: ServedModel) -> None:
    promotions.replace(state, "age", str(before), str(after), str(after.archive))


def test_without_a_promotion_nothing_changes(tmp_path: Path, both: Sequence[ServedModel]) -> None:
    assert promotions.promoted(both, tmp_path) == both


def test_the_promoted_one_is_served_instead(tmp_path: Path, both: Sequence[ServedModel]) -> None:
    one, two = both
    for _ in range(2):  # it can be done again
        promote(tmp_path, one, two)
        assert promotions.promoted([one], tmp_path) == [two]
    assert promotions.promoted([two], tmp_path) == [two]
    assert promotions.promoted(both, tmp_path) == [two]  # and not twice
    for _ in range(2):
        promote(tmp_path, two, one)  # rolled back, or rolled out in its turn
        assert promotions.promoted([one], tmp_path) == [one]
    promote(tmp_path, one, two)
    assert promotions.promoted([one], tmp_path) == [two]


def test_another_model_of_the_name_is_what_the_operator_chose(
    tmp_path: Path, both: Sequence[ServedModel]
) -> None:
    one, two = both
    promote(tmp_path, one, two)
    other = ServedModel("age", one.archive, one.version, "0" * 12)
    elsewhere = ServedModel("mood", one.archive, one.version, one.weights)
    assert promotions.promoted([other, elsewhere], tmp_path) == [other, elsewhere]


def test_an_archive_that_is_gone_or_another_is_named(
    tmp_path: Path, both: Sequence[ServedModel]
) -> None:
    one, two = both
    promotions.replace(tmp_path, "age", str(one), str(two), str(tmp_path / "gone.mar"))
    with pytest.raises(
        CommandError, match=r"was promoted, and .*gone.mar is missing.*promoted.json"
    ):
        promotions.promoted([one], tmp_path)
    promotions.replace(tmp_path, "age", str(one), str(two), str(one.archive))
    with pytest.raises(CommandError, match=r"holds age 1\.0, .* and age 2\.0, .* was promoted"):
        promotions.promoted([one], tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"age": 1}', '{"age": {"archive": "x"}}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / promotions.FILE).write_text(text)
    with pytest.raises(CommandError, match=r"promoted.json cannot be read .*: remove it"):
        promotions.read(tmp_path)
