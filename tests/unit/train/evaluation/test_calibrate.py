import numpy as np
import pytest

from handler.calibration import prediction_intervals
from train.evaluation.calibrate import calibrated, neutral

FACES = 20_000


def shrunk(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates that are drawn towards 35, and true ages few of which are high."""
    generator = np.random.default_rng(seed)
    truth = generator.beta(1.5, 3, FACES) * 100
    std = generator.uniform(3, 9, FACES)
    age = truth + 0.35 * (35 - truth) + generator.normal(0, std)
    return age.clip(0), std, truth


def covered(coverage: float) -> tuple[float, list[float]]:
    """Of fresh faces all together, and of each decade."""
    calibration = calibrated(*shrunk(0), coverage, 0.01)
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
    calibration = calibrated(truth - np.linspace(5, 15, 50), np.full(50, 5.0), truth, 0.9, 0.01)
    assert set(calibration.lower) == {0}
    (upper,) = set(calibration.upper)
    assert upper == pytest.approx(2.83, abs=0.1)  # holds 46 of the 50


def test_of_few_faces_the_largest_residual_counts() -> None:
    age, truth = np.array([10.0, 20, 30]), np.array([9.0, 22, 33])
    calibration = calibrated(age, np.ones(3), truth, 0.9, 0.01)
    assert set(calibration.lower) == {-1}
    assert set(calibration.upper) == {3}


def test_neutral_is_one_spread() -> None:
    ((low, high),) = prediction_intervals(
        np.array([30.0], "f4"), np.array([4.0], "f4"), neutral(0.9)
    )
    assert (low, high) == (26, 34)


def test_the_young_may_be_covered_better() -> None:
    age, std, truth = shrunk(0)
    calibration = calibrated(age, std, truth, 0.8, 0.0, young=0.95)
    low, high = prediction_intervals(age.astype("f4"), std.astype("f4"), calibration).T
    inside = (low <= truth) & (truth <= high)
    assert inside[(truth >= 10) & (truth < 20)].mean() > 0.93
    assert inside[truth >= 30].mean() < 0.83
    assert inside.mean() >= 0.8
