import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from handler.calibration import prediction_intervals, prediction_sets, with_temperature
from handler.contract import OrdinalCalibration

SAME = OrdinalCalibration(0.9, (0, 116), (-2, -2), (1, 1))
BENT = OrdinalCalibration(0.9, (0, 40, 80, 116), (0, -1, -1, -3), (1, 1, 4, 4))


def intervals(calibration: OrdinalCalibration, *faces: tuple[float, float]) -> NDArray[np.float32]:
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
    calibration = OrdinalCalibration(0.9, (0, 70, 80, 116), (-1, -1, -1, -1), (1, 1, 4, 1))
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
    calibration = OrdinalCalibration(0.9, (0, 20, 60, 116), tuple(lower), tuple(upper))
    ((low, high),) = intervals(calibration, (age, std))
    years = np.linspace(0, 116, 2321)
    allowed = [
        (years - age >= std * np.interp(years, calibration.values, lower) - 1e-3),
        (years - age <= std * np.interp(years, calibration.values, upper) + 1e-3),
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


@st.composite
def distributions(draw: st.DrawFn) -> NDArray[np.float32]:
    """1 to 5 distributions over 2 to 9 categories, float32 [n, K]."""
    n, k = draw(st.integers(1, 5)), draw(st.integers(2, 9))
    logits = draw(st.lists(st.floats(-20, 20, width=32), min_size=n * k, max_size=n * k))
    powers = np.exp(np.array(logits, np.float32).reshape(n, k))
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


class TestTemperature:
    def test_divides_the_logits(self) -> None:
        given = np.array([[0.8, 0.2], [0.5, 0.5]], np.float32)
        odds = 4**0.5  # of 0.8 to 0.2
        expected = [[odds / (1 + odds), 1 / (1 + odds)], [0.5, 0.5]]
        assert with_temperature(given, 2) == pytest.approx(np.array(expected))
        assert with_temperature(given, 0.5)[0] == pytest.approx(np.array([16 / 17, 1 / 17]))

    def test_a_category_that_cannot_be(self) -> None:
        scaled = with_temperature(np.array([[1.0, 0.0, 0.0]], np.float32), 1.5)
        assert scaled.sum() == pytest.approx(1)
        assert scaled[0, 0] > 0.999
        assert np.isfinite(scaled).all()

    def test_what_is_not_finite_stays_so(self) -> None:
        given = np.array([[np.nan, 0.5], [0.5, 0.5]], np.float32)
        assert np.isnan(with_temperature(given, 2)[0]).all()
        assert with_temperature(given, 2)[1] == pytest.approx([0.5, 0.5])

    def test_no_inputs(self) -> None:
        assert with_temperature(np.zeros((0, 3), np.float32), 2).shape == (0, 3)

    @given(distributions())
    def test_one_is_the_identity(self, given: NDArray[np.float32]) -> None:
        assert np.array_equal(with_temperature(given, 1), given)

    @given(distributions(), st.floats(0.05, 20))
    def test_gives_distributions_in_the_same_order(
        self, given: NDArray[np.float32], temperature: float
    ) -> None:
        scaled = with_temperature(given, temperature)
        assert scaled.dtype == np.float32
        assert scaled.sum(axis=1) == pytest.approx(np.ones(len(given)), abs=1e-5)
        rows = np.arange(len(given))
        assert (scaled[rows, given.argmax(axis=1)] == scaled.max(axis=1)).all()


class TestSets:
    def test_what_is_as_probable_as_the_threshold(self) -> None:
        given = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], np.float32)
        assert prediction_sets(given, 0.3).tolist() == [[True, True, False], [False, True, False]]

    def test_is_never_empty(self) -> None:
        given = np.array([[0.4, 0.35, 0.25]], np.float32)
        assert prediction_sets(given, 0.9).tolist() == [[True, False, False]]

    def test_no_inputs(self) -> None:
        assert prediction_sets(np.zeros((0, 3), np.float32), 0.5).shape == (0, 3)

    @given(distributions(), st.floats(0, 1, width=32))
    def test_always_holds_the_label(self, given: NDArray[np.float32], threshold: float) -> None:
        chosen = prediction_sets(given, threshold)
        assert chosen[np.arange(len(given)), given.argmax(axis=1)].all()
        assert chosen[given >= threshold].all()

    @given(distributions(), st.floats(0, 0.5, width=32), st.floats(0, 0.5, width=32))
    def test_a_lower_threshold_gives_a_larger_set(
        self, given: NDArray[np.float32], low: float, more: float
    ) -> None:
        large, small = prediction_sets(given, low), prediction_sets(given, low + more)
        assert large[small].all()
