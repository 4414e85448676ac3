"""commands/bulk/rows.py."""

from dataclasses import replace

import pytest

from commands.bulk.rows import columns, failure, rows
from handler.answer import Answer, CategoryPrediction, Face, OrdinalPrediction
from handler.contract import Contract
from handler.options import Options

AGE = OrdinalPrediction(38.249, (30.94, 46.04), low=0)
TINT = CategoryPrediction("red", 0.61236, {"red": 0.61236}, ("red", "blue"))
OF_FACES = ["path", "face", "x1", "y1", "x2", "y2", "confidence"]
OF_AGE = ["age", "age_interval_low", "age_interval_high"]


def face(**attributes: OrdinalPrediction | CategoryPrediction) -> Face:
    box = (180.84, 61.37, 268.449, 172.25001)
    return Face(box, 0.9999949, ((1.0, 2.0),) * 5, attributes)


def test_columns_are_those_of_the_tasks(
    contract: Contract, tint_contract: Contract, colour_contract: Contract
) -> None:
    def names(*contracts: Contract) -> list[str]:
        tasks = [contract.task for contract in contracts]
        return [each.name for each in columns(tasks, Options())]

    assert names(contract) == OF_FACES + OF_AGE
    assert names(contract, tint_contract) == [*OF_FACES, *OF_AGE, "tint", "tint_probability"]
    assert names(colour_contract) == ["path", "colour", "colour_probability"]


def test_two_columns_of_a_name(contract: Contract) -> None:
    with pytest.raises(ValueError, match="two columns would be named x1: export the task by"):
        columns([replace(contract.task, name="x1")], Options())


def test_a_row_for_each_face(contract: Contract, colour_contract: Contract) -> None:
    named = columns([contract.task, colour_contract.task], Options())
    answer = Answer(512, 400, (face(age=AGE), face(age=AGE)), {"colour": TINT})
    first, second = rows("a.jpg", answer, named)
    assert [*first.values()] == [
        *("a.jpg", 0, 180.8, 61.4, 268.4, 172.3, 0.99999),
        *(38.2, 30.9, 46.0),
        *("red", 0.6124),
    ]
    assert second == first | {"face": 1}
    assert [*first] == [each.name for each in named]


def test_an_image_without_a_face_has_one_row(contract: Contract, colour_contract: Contract) -> None:
    named = columns([contract.task, colour_contract.task], Options())
    (row,) = rows("a.jpg", Answer(512, 400, (), {"colour": TINT}), named)
    found = {name: value for name, value in row.items() if value is not None}
    assert found == {"path": "a.jpg", "colour": "red", "colour_probability": 0.6124}
    (row,) = rows("a.jpg", Answer(512, 400, None, {"colour": TINT}), named[-2:])
    assert row == {"colour": "red", "colour_probability": 0.6124}


def test_how_an_image_was_turned(contract: Contract) -> None:
    """A column that is there where it was asked for."""
    named = columns([contract.task], Options(rotate="auto"))
    assert [each.name for each in named] == ["path", "rotation", *OF_FACES[1:], *OF_AGE]
    (row,) = rows("a.jpg", Answer(1, 1, (face(age=AGE),), rotation=270), named)
    assert (row["rotation"], row["face"]) == (270, 0)
    (row,) = rows("a.jpg", Answer(1, 1, (), rotation=0), named)
    assert (row["rotation"], row["face"]) == (0, None)


def test_a_name_that_is_not_utf_8_is_escaped(contract: Contract) -> None:
    (row,) = rows("b\udce9.jpg", Answer(1, 1, ()), columns([contract.task], Options()))
    assert row["path"] == "b\\xe9.jpg"
    assert failure("b\udce9.jpg", "Odd", "why") == {
        "path": "b\\xe9.jpg",
        "type": "Odd",
        "message": "why",
    }
