import numpy as np
import pytest

from handler.calibration import prediction_intervals
from handler.contract import OrdinalCalibration
from handler.task import Ordinal
from train.evaluation import calibrate
from train.evaluation.ordinal import AGES

FACES = 20_000


def calibrated(*arrays: np.ndarray, coverage: float = 0.9) -> OrdinalCalibration:
    """Of ages, as they are calibrated."""
    return calibrate.calibrated(*arrays, coverage, output=AGES, step=5)


def shrunk(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates that are drawn towards 35, and true ages few of which are high."""
    generator = np.random.default_rng(seed)
    truth = generator.beta(1.5, 3, FACES) * 100
    std = generator.uniform(3, 9, FACES)
    age = truth + 0.35 * (35 - truth) + generator.normal(0, std)
    return age.clip(0), std, truth


def covered(coverage: float) -> tuple[float, list[float]]:
    """Of fresh faces all together, and of each decade."""
    calibration = calibrated(*shrunk(0), coverage=coverage)
    age, std, truth = shrunk(1)
    low, high = prediction_intervals(age.astype("f4"), std.astype("f4"), calibration).T
    inside = (low <= truth) & (truth <= high)
    decades = [inside[truth // 10 == decade].mean() for decade in range(8)]
    return inside.mean(), decades


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_covers_what_was_asked_in_every_decade(coverage: float) -> None:
    overall, decades = covered(coverage)
    assert overall == pytest.approx(coverage, abs=0.03)
    # estimates end at birth, so that the youngest are covered more often
    assert all(each > coverage - 0.03 for each in decades)
    # the few old ones count together with the older
    assert decades[1:5] == pytest.approx([coverage] * 4, abs=0.03)


def test_the_estimate_is_always_inside() -> None:
    """Also where every face of an age is estimated too young."""
    truth = np.full(50, 80.0)
    calibration = calibrated(truth - np.linspace(5, 15, 50), np.full(50, 5.0), truth)
    assert set(calibration.lower) == {0}
    (upper,) = set(calibration.upper)
    assert upper == pytest.approx(2.83, abs=0.1)  # holds 46 of the 50


def test_of_few_faces_the_largest_residual_counts() -> None:
    age, truth = np.array([10.0, 20, 30]), np.array([9.0, 22, 33])
    calibration = calibrated(age, np.ones(3), truth)
    assert set(calibration.lower) == {-1}
    assert set(calibration.upper) == {3}


def test_few_faces_do_not_make_it_too_narrow() -> None:
    """On the faces that it is calibrated on, an interval holds more than it does on others."""
    age, std, truth = shrunk(0)
    fresh = shrunk(1)
    parts = []
    for first in range(20):
        few = slice(first * 200, (first + 1) * 200)
        found = calibrated(age[few], std[few], truth[few])
        low, high = prediction_intervals(fresh[0].astype("f4"), fresh[1].astype("f4"), found).T
        parts.append(((low <= fresh[2]) & (fresh[2] <= high)).mean())
    assert 0.9 <= np.mean(parts) < 0.92


def test_neutral_is_one_spread() -> None:
    ((low, high),) = prediction_intervals(
        np.array([30.0], "f4"), np.array([4.0], "f4"), calibrate.neutral(0.9, AGES)
    )
    assert (low, high) == (26, 34)


def test_values_of_another_range_are_calibrated_with_their_own_steps() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(-3, 4, 2000).astype(float)
    value = truth + generator.normal(0, 0.5, 2000)
    output = Ordinal(-3, 3, "points")
    found = calibrate.calibrated(value, np.ones(2000), truth, 0.9, output=output, step=1)
    assert found.values == (-3, -2, -1, 0, 1, 2, 3)
    # 90 % of a normal distribution are within 1.645 standard deviations
    assert found.upper == pytest.approx([0.82] * 7, abs=0.15)
    assert calibrate.neutral(0.9, output).values == (-3, 3)
