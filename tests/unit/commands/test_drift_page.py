"""commands/drift_page.py: what the tables say, and how bins are named."""

from datetime import UTC, datetime, timedelta

import pytest

from commands.drift_page import Drifting, histograms, in_order, over_time, summary, verdict
from commands.prometheus import Series
from handler.drift import Histogram


def series(*values: float, times: tuple[float, ...] = ()) -> Series:
    return Series({}, times or tuple(60.0 * n for n in range(len(values))), values)


def test_the_farthest_comes_first() -> None:
    indices = {"age": series(0.02, 0.3, 0.05), "sharpness": series(0.1, 0.2, 0.7)}
    assert summary(Drifting("age", "1.0", indices, {})).rows == [
        ("sharpness", "0.70", "has moved", "0.70", "1970-01-01 00:02"),
        ("age", "0.05", "has not moved", "0.30", "1970-01-01 00:01"),
    ]


@pytest.mark.parametrize(
    ("index", "words"),
    [(0.09, "has not moved"), (0.1, "moves a little"), (0.25, "moves a little"), (3, "has moved")],
)
def test_verdicts(index: float, words: str) -> None:
    assert verdict(index) == words


@pytest.mark.parametrize(
    ("bounds", "names"),
    [
        ((-2.0, 9.5, 10.25, 100.0), ["≤ -2", "≤ 9.5", "≤ 10.2", "≤ 100", "> 100"]),
        ((0.99995, 0.99999), ["≤ 0.99995", "≤ 0.99999", "> 0.99999"]),
        (("red", "blue"), ["blue", "red", "other"]),
        (("to_day", "to_3"), ["to_3", "to_day", "other"]),
        ((), ["any"]),
    ],
)
def test_names_of_the_bins(bounds: tuple[float, ...], names: list[str]) -> None:
    labels = Histogram(bounds, (1,) * (len(bounds) + 1)).labels()
    shown, ordered = in_order(set(labels))
    assert shown == names
    assert sorted(ordered) == sorted(labels)


def test_a_line_stops_where_values_are_missing() -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    times = (0.0, 60.0, 600.0, 660.0)
    figure = over_time(
        {"age": series(1, 2, 3, 4, times=times)}, start, start + timedelta(minutes=20)
    )
    (line, *_) = figure.axes[0].lines
    drawn = [float(value) for value in line.get_ydata()]  # type: ignore[union-attr]
    assert [value for value in drawn if value == value] == [1, 2, 3, 4]
    assert len(drawn) == 5
    assert drawn[2] != drawn[2]  # NaN between them


def test_a_panel_for_each_property() -> None:
    bins = {"to_0.5": (0.5, 0.75), "above_0.5": (0.5, 0.25)}
    figure = histograms(dict.fromkeys(("a", "b", "c", "d"), bins))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"{n}, % of images" for n in "abcd"]
    assert [bar.get_height() for bar in shown[0].patches[:2]] == [75, 25]  # type: ignore[attr-defined]
