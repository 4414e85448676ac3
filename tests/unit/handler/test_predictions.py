"""What distributions predict: medians and standard deviations, and predictions by a contract."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handler.contract import Contract, OrdinalCalibration
from handler.predictions import median, predictions, std
from handler.task import Ordinal
from tests.archives import of_ages
from tests.unit.handler.answers import categorical, ordinal


def row(**masses: float) -> torch.Tensor:
    """A distribution over 0 to 116: y30=0.5 is half of the mass on 30."""
    probabilities = torch.zeros(1, 117)
    for name, mass in masses.items():
        probabilities[0, int(name[1:])] = mass
    return probabilities


class TestMedian:
    def test_one_number(self) -> None:
        assert median(row(y30=1.0), 0).tolist() == [30]

    def test_a_number_counts_half_a_unit_on_either_side(self) -> None:
        # a quarter of the mass is below 29.5, so a quarter of 30's half is below the median
        assert median(row(y20=0.25, y30=0.5, y40=0.25), 0).tolist() == [30]
        assert median(row(y20=0.4, y30=0.5, y40=0.1), 0).item() == pytest.approx(29.7)

    def test_from_another_first_number(self) -> None:
        assert median(row(y30=1.0), -10).tolist() == [20]

    @pytest.mark.parametrize("place", [0, 116])
    def test_stays_among_the_numbers(self, place: int) -> None:
        """Half a unit past the first and the last would be none."""
        assert median(row(**{f"y{place}": 1.0}), 0).tolist() == [place]
        uneven = row(**{f"y{place}": 0.9, "y50": 0.1})
        assert 0 <= median(uneven, 0).item() <= 116

    def test_of_none(self) -> None:
        assert median(torch.zeros(0, 117), 0).shape == (0,)

    @given(st.lists(st.integers(0, 1000), min_size=2, max_size=30).filter(any))
    def test_halves_the_mass(self, weights: list[int]) -> None:
        probabilities = torch.tensor([weights], dtype=torch.float64)
        probabilities /= probabilities.sum()
        found = median(probabilities, 0).item()
        # the mass below, each number's spread evenly from half a unit below it to half above
        spread = np.clip(found - np.arange(len(weights)) + 0.5, 0, 1)
        below = float((probabilities[0].numpy() * spread).sum())
        clamped = found in (0, len(weights) - 1)
        assert below == pytest.approx(0.5, abs=1e-6) or clamped


class TestStd:
    def test_of_one_number_is_none(self) -> None:
        assert std(row(y70=1.0)).tolist() == [0]

    def test_of_two(self) -> None:
        assert std(row(y20=0.5, y40=0.5)).tolist() == [10]
        assert std(row(y20=0.2, y30=0.8)).item() == pytest.approx(4)


def test_the_stand_in_gives_what_tests_take_it_for() -> None:
    ages = torch.cat([torch.linspace(0, 100, 4001), torch.arange(0, 100.5, 0.5)])
    given = of_ages(ages)
    assert (given >= 0).all()
    assert given.sum(dim=1).numpy() == pytest.approx(np.ones(len(ages)), abs=1e-6)
    assert median(given, 0).numpy() == pytest.approx(ages.numpy(), abs=1e-5)
    assert std(given[ages > 0.5]).numpy() == pytest.approx(5, abs=1e-4)


def test_ordinals_by_the_contract(contract: Contract) -> None:
    found = ordinal(predictions(row(y20=0.2, y30=0.8), contract))
    assert found.value == pytest.approx([30 - 0.5 + 0.375])
    assert found.std == pytest.approx([4])
    assert found.interval[0] == pytest.approx([29.875 - 8, 29.875 + 8], abs=1e-4)
    assert found.probabilities[0, [20, 30]].tolist() == pytest.approx([0.2, 0.8])
    task = replace(contract.task, output=Ordinal(100, 216, "g"))
    calibration = OrdinalCalibration(0.9, (0, 300), (-1, -1), (1, 1))
    moved = replace(contract, task=task, calibration=calibration)
    found = ordinal(predictions(row(y20=0.2, y30=0.8), moved))
    assert found.value == pytest.approx([129.875])
    assert found.interval[0] == pytest.approx([125.875, 133.875], abs=1e-4)


def test_categories_by_the_contract(tint_contract: Contract) -> None:
    found = categorical(predictions(torch.tensor([[0.8, 0.15, 0.05]]), tint_contract))
    roots = np.sqrt([0.8, 0.15, 0.05])  # the temperature is 2
    assert found.probabilities[0] == pytest.approx(roots / roots.sum(), abs=1e-6)
    # 0.59, 0.26, 0.15; the threshold is 0.2
    assert found.prediction_set.tolist() == [[True, True, False]]
