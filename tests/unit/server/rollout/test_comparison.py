"""server/rollout/comparison.py: figures of pairs of answers, and what is beyond a limit."""

from typing import Any

import pytest

from server.rollout.comparison import Comparison, Limits, beyond
from server.rollout.copies import Reply

LIMITS = Limits(failures=0.1, other_faces=0.1, difference=3, disagreement=0.1, psi=0.25, slower=1.5)
LEFT, RIGHT = [0, 0, 10, 10], [100, 0, 110, 10]


def face(box: list[int], age: float, tint: str = "red") -> dict[str, Any]:
    return {
        "box": box,
        "confidence": 1.0,
        "age": age,
        "age_interval": [age - 5, age + 5],
        "tint": tint,
        "tint_probability": 0.9,
    }


def reply(*faces: dict[str, Any], status: int = 200, seconds: float = 0.1) -> Reply:
    return Reply(status, {"width": 200, "height": 20, "faces": list(faces)}, seconds)


def compared(*pairs: tuple[Reply, Reply]) -> Comparison:
    seen = Comparison()
    for pair in pairs:
        seen.add(*pair)
    return seen


def test_faces_are_compared_by_their_place() -> None:
    one = reply(face(LEFT, 20), face(RIGHT, 50))
    other = reply(face([101, 0, 111, 10], 54, "blue"), face(LEFT, 18), seconds=0.2)
    figures = compared((one, other)).figures()
    assert figures["difference of age"] == 3
    assert figures["disagreement of tint"] == 0.5
    assert figures["other_faces"] == 0
    assert figures["slower"] == 2


@pytest.mark.parametrize("faces", [[face(LEFT, 20)], [face(LEFT, 20), face([40, 0, 50, 10], 50)]])
def test_a_face_that_only_one_finds_is_counted_and_not_compared(faces: list[Any]) -> None:
    one = reply(face(LEFT, 20), face(RIGHT, 50))
    for pair in ((one, reply(*faces)), (reply(*faces), one)):
        figures = compared(pair).figures()
        assert figures["other_faces"] == 1
        assert figures["difference of age"] == 0


def test_attributes_of_the_image() -> None:
    answers = [
        Reply(200, {"image": {"colour": colour, "colour_probability": 0.5}}, 0.1)
        for colour in ("red", "green")
    ]
    assert compared((answers[0], answers[1])).figures()["disagreement of colour"] == 1
    assert compared((answers[0], answers[0])).figures()["disagreement of colour"] == 0


def test_failures_are_those_of_the_candidate_alone() -> None:
    good, bad = reply(face(LEFT, 20)), Reply(500, {"code": 500}, 0.1)
    gone, picture = Reply(0, None, 60), Reply(200, None, 0.1)
    seen = compared(
        (good, good), (good, bad), (good, gone), (bad, bad), (bad, good), (picture, good)
    )
    assert (seen.pairs, seen.failures) == (3, 2)
    assert seen.figures()["failures"] == pytest.approx(2 / 3, abs=1e-4)


def test_the_index_of_values_that_moved() -> None:
    ages = [float(age) for age in range(100)]
    for moved, low, high in ((0, 0, 0.001), (2, 0.001, 0.1), (30, 0.5, 20)):
        pairs = [(reply(face(LEFT, a)), reply(face(LEFT, a + moved))) for a in ages]
        assert low <= compared(*pairs).figures()["psi of age"] < high


def test_beyond_names_each_figure_and_its_limit() -> None:
    figures = {"pairs": 200, "failures": 0.1, "psi of age": 0.3, "difference of age": 3.01}
    assert beyond(figures, LIMITS) == [
        "psi of age 0.3, over 0.25",
        "difference of age 3.01, over 3",
    ]


def test_hopeless_as_soon_as_no_further_pair_can_help() -> None:
    seen = Comparison()
    good, bad = reply(face(LEFT, 20)), Reply(500, None, 0.1)
    seen.add(good, bad)
    assert seen.hopeless(LIMITS, 10) == []
    seen.add(good, bad)
    assert seen.hopeless(LIMITS, 10) == ["failures 0.2, over 0.1"]


def test_nothing_seen_is_no_division_by_zero() -> None:
    assert Comparison().figures() == {"pairs": 0, "failures": 0, "other_faces": 0}
