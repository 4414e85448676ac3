import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from handler.calibration import prediction_intervals
from handler.contract import Calibration

SAME = Calibration(0.9, (0, 116), (-2, -2), (1, 1))
BENT = Calibration(0.9, (0, 40, 80, 116), (0, -1, -1, -3), (1, 1, 4, 4))


def intervals(calibration: Calibration, *faces: tuple[float, float]) -> NDArray[np.float32]:
    age, std = np.array(faces, np.float32).T
    return prediction_intervals(age, std, calibration)


def test_the_same_for_every_age_is_so_many_stds() -> None:
    assert intervals(SAME, (30, 5), (50.5, 2)).tolist() == [[20, 35], [46.5, 52.5]]


def test_ends_at_the_first_and_the_last_age() -> None:
    assert intervals(SAME, (3, 5), (110, 10)).tolist() == [[0, 8], [90, 116]]


def test_an_estimate_past_the_ages_counts_as_the_last() -> None:
    assert intervals(SAME, (120, 2), (-3, 2)).tolist() == [[112, 116], [0, 2]]


def test_old_faces_whose_age_is_underestimated_are_among_it() -> None:
    """Estimated at 50: people of 64 are estimated up to 2.8 stds less than they are."""
    ((low, high),) = intervals(BENT, (50, 5))
    assert low == 45  # the lower end is one std for 40 to 80
    assert high == pytest.approx(64)  # = 50 + 5 * (1 + 3 * (64 - 40) / 40)


def test_the_last_age_that_fits_counts() -> None:
    """With a wide standard deviation, 70 does not fit at one std, and 80 does at four."""
    calibration = Calibration(0.9, (0, 70, 80, 116), (-1, -1, -1, -1), (1, 1, 4, 1))
    ((_, high),) = intervals(calibration, (55, 10))
    assert high > 80


def test_no_faces() -> None:
    none = np.zeros(0, np.float32)
    assert prediction_intervals(none, none, SAME).shape == (0, 2)


@given(
    age=st.floats(0, 116, width=32),
    std=st.floats(0, 60, width=32),
    lower=st.lists(st.floats(-6, 0), min_size=4, max_size=4),
    upper=st.lists(st.floats(0, 6), min_size=4, max_size=4),
)
def test_is_what_its_definition_says(
    age: float, std: float, lower: list[float], upper: list[float]
) -> None:
    """The lowest and the highest of the years that the quantiles of their own age allow."""
    calibration = Calibration(0.9, (0, 20, 60, 116), tuple(lower), tuple(upper))
    ((low, high),) = intervals(calibration, (age, std))
    years = np.linspace(0, 116, 2321)
    allowed = [
        (years - age >= std * np.interp(years, calibration.ages, lower) - 1e-3),
        (years - age <= std * np.interp(years, calibration.ages, upper) + 1e-3),
    ]
    inside = years[allowed[0] & allowed[1]]
    assert low <= age + 1e-3 <= high + 2e-3
    if len(inside):
        assert low <= inside.min() + 2e-2
        assert high >= inside.max() - 2e-2
    outside = years[(years < low - 1e-2) | (years > high + 1e-2)]
    assert not set(outside) & set(years[_well_inside(years, age, std, lower, upper)])


def _well_inside(
    years: NDArray[np.float64], age: float, std: float, lower: list[float], upper: list[float]
) -> NDArray[np.bool_]:
    knots = (0, 20, 60, 116)
    fits: NDArray[np.bool_] = years - age >= std * np.interp(years, knots, lower) + 1e-2
    return fits & (years - age <= std * np.interp(years, knots, upper) - 1e-2)
