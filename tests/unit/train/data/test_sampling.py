from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from handler.task import Ordinal
from tests.unit.train.tasks import AGE, SHAPES
from train.data.sampling import (
    KERNEL_STD,
    MAX_WEIGHT,
    Balance,
    BalancedSampler,
    balancing_weights,
    class_indices,
)


def skewed() -> Tensor:
    """A typical distribution: many ages from 20 to 40 years, few others."""
    generator = torch.Generator().manual_seed(0)
    young = 20 + 20 * torch.rand(900, generator=generator)
    any_age = AGE.high * torch.rand(100, generator=generator)
    return torch.cat([young, any_age])


def by_age(ages: Tensor, strength: float) -> Tensor:
    """The weights of crops of one data set."""
    return balancing_weights(ages, torch.zeros(len(ages)).long(), Balance(target=strength), AGE)


def share(ages: Tensor, weights: Tensor, low: int, high: int) -> float:
    """The fraction of an epoch with ages from `low` to `high`."""
    return float(weights[(ages >= low) & (ages < high)].sum() / weights.sum())


class TestWeights:
    @pytest.mark.parametrize("strength", [0.0, 0.35, 0.7, 1.0])
    def test_mean_is_one(self, strength: float) -> None:
        weights = by_age(skewed(), strength)
        assert weights.shape == (1000,)
        assert weights.dtype == torch.float64
        assert weights.min() > 0
        assert float(weights.mean()) == pytest.approx(1)

    def test_zero_leaves_the_data_as_it_is(self) -> None:
        assert torch.equal(by_age(skewed(), 0.0), torch.ones(1000).double())

    def test_rare_ages_come_more_often_with_strength(self) -> None:
        ages = skewed()
        shares = [share(ages, by_age(ages, s), 20, 40) for s in (0, 0.25, 0.5, 1)]
        assert all(more > less for more, less in pairwise(shares))
        assert shares[0] > 0.9

    def test_one_makes_all_ages_alike(self) -> None:
        # twice as many up to 40 as above, and none that is limited
        ages = torch.cat([torch.arange(81.0), torch.arange(41.0)]).repeat(20)
        weights = by_age(ages, 1.0)
        of_year = [float(weights[ages == year].sum()) for year in range(81)]
        inner = [*of_year[10:31], *of_year[51:71]]  # away from the ends and from the step
        assert max(inner) / min(inner) == pytest.approx(1, abs=0.02)

    def test_is_the_smoothed_count(self) -> None:
        """Two ages, far apart: the weights' ratio is that of the counts."""
        ages = torch.tensor([20.0] * 30 + [60.0] * 10)
        for strength in (0.5, 1.0):
            weights = by_age(ages, strength)
            assert float(weights[-1] / weights[0]) == pytest.approx(3**strength)

    def test_neighbours_count(self) -> None:
        """A year without a crop beside one with many is not a rare age."""
        ages = torch.tensor([30.0] * 50 + [31.0] + [80.0] * 50)
        weights = by_age(ages, 1.0)
        assert float(weights[50] / weights[0]) < 1.2
        distant = torch.tensor([30.0] * 50 + [30 + 5 * KERNEL_STD] + [80.0] * 50)
        weights = by_age(distant, 1.0)
        assert float(weights[50] / weights[0]) > 5

    def test_nobody_is_cropped_much_too_often(self) -> None:
        ages = torch.tensor([30.0] * 1000 + [110.0])
        weights = by_age(ages, 0.5)  # would be 31
        assert float(weights[-1]) == MAX_WEIGHT
        assert float(weights.mean()) == pytest.approx(1)

    @settings(max_examples=100)
    @given(st.lists(st.floats(0, AGE.high), min_size=1, max_size=80), st.floats(0, 4))
    def test_never_above_the_limit(self, ages: list[float], strength: float) -> None:
        weights = by_age(torch.tensor(ages), strength)
        assert float(weights.max()) <= MAX_WEIGHT
        assert float(weights.mean()) == pytest.approx(1)

    @pytest.mark.parametrize(("strength", "ratio"), [(0, 1), (0.5, 2), (1, 4)])
    def test_a_small_data_set_comes_more_often_with_strength(
        self, strength: float, ratio: float
    ) -> None:
        sources = torch.tensor([0] * 80 + [1] * 20)
        ages = torch.linspace(0, AGE.high, 100)
        weights = balancing_weights(ages, sources, Balance(source=strength), AGE)
        assert float(weights[-1] / weights[0]) == pytest.approx(ratio)
        assert float(weights.mean()) == pytest.approx(1)

    def test_age_and_data_set_together(self) -> None:
        ages = torch.tensor([20.0] * 45 + [60.0] * 15)
        sources = torch.arange(60) % 3 % 2  # two thirds of either age are of the first
        weights = balancing_weights(ages, sources, Balance(target=1.0, source=1.0), AGE)
        for age in (20, 60):
            for source in (0, 1):
                share = weights[(ages == age) & (sources == source)].sum()
                assert float(share) == pytest.approx(15)

    @pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
    def test_rare_values_of_a_label_come_more_often_at_each_age(self, strength: float) -> None:
        """Of 20 years two thirds have the value 2, of 60 a third, and some have none."""
        ages = torch.tensor([20.0] * 30 + [60.0] * 30 + [20.0] * 10)
        codes = torch.tensor([2] * 20 + [0] * 10 + [2] * 10 + [0] * 20 + [-1] * 10)
        balance = Balance(auxiliary={"gender": strength})
        weights = balancing_weights(
            ages, torch.zeros(70).long(), balance, AGE, {"race": codes, "gender": codes}
        )
        assert float(weights[20] / weights[0]) == pytest.approx(2**strength)
        assert float(weights[30] / weights[40]) == pytest.approx(2**strength)
        if strength == 1:  # as many of an age as before
            assert float(weights[:30].sum()) == pytest.approx(float(weights[30:60].sum()))
            assert float(weights[-1]) == pytest.approx(float(weights[:30].mean()))

    def test_a_label_that_no_crop_has_changes_nothing(self) -> None:
        ages, nothing = skewed(), torch.full((1000,), -1)
        balance = Balance(target=0.5, auxiliary={"gender": 1.0})
        weights = balancing_weights(
            ages, torch.zeros(1000).long(), balance, AGE, {"gender": nothing}
        )
        assert torch.equal(weights, by_age(ages, 0.5))

    def test_values_in_categories(self) -> None:
        balance = Balance(auxiliary={"size": 1.0})
        kinds = torch.tensor([0.0] * 4 + [1.0] * 4)
        sizes = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
        weights = balancing_weights(kinds, torch.zeros(8).long(), balance, SHAPES, {"size": sizes})
        assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2, 2, 2 / 3, 2 / 3, 2 / 3])

    def test_all_ages_that_are_allowed(self) -> None:
        weights = by_age(torch.tensor([0.0, 0.4, 115.6, AGE.high]), 1.0)
        assert torch.isfinite(weights).all()

    @pytest.mark.parametrize(("strength", "ratio"), [(0, 1), (0.5, 3), (1, 9)])
    def test_rare_categories_come_more_often_with_strength(
        self, strength: float, ratio: float
    ) -> None:
        """Counts of categories are not smoothed: neighbours have nothing in common."""
        indices = torch.tensor([0.0] * 45 + [1.0] * 5 + [2.0] * 45)
        balance = Balance(target=strength)
        weights = balancing_weights(indices, torch.zeros(95).long(), balance, SHAPES)
        assert float(weights[45] / weights[0]) == pytest.approx(min(ratio, 6 / float(weights[0])))
        assert float(weights[0]) == float(weights[-1])
        assert float(weights.mean()) == pytest.approx(1)

    def test_a_category_without_crops_changes_nothing(self) -> None:
        indices = torch.tensor([0.0] * 6 + [2.0] * 3)
        weights = balancing_weights(indices, torch.zeros(9).long(), Balance(target=1.0), SHAPES)
        assert weights.tolist() == pytest.approx([0.75] * 6 + [1.5] * 3)


def test_the_index_of_a_class() -> None:
    fingers = Ordinal(2, 5, "fingers")
    assert class_indices(torch.tensor([2.0, 3.4, 4.6]), fingers).tolist() == [0, 1, 3]
    assert class_indices(torch.tensor([2.0, 0.0]), SHAPES).tolist() == [2, 0]


def epoch(
    weights: Tensor, ranks: int = 1, rank: int = 0, seed: int = 0, number: int = 0
) -> list[int]:
    sampler = BalancedSampler(weights, ranks, rank, seed)
    sampler.set_epoch(number)
    indices = list(sampler)
    assert len(sampler) == len(indices)
    return indices


class TestSampler:
    def test_equal_weights_give_each_once_and_shuffled(self) -> None:
        indices = epoch(torch.ones(200).double())
        assert sorted(indices) == list(range(200))
        assert indices != sorted(indices)

    @settings(max_examples=100)
    @given(st.lists(st.floats(0.01, 5), min_size=1, max_size=60), st.integers(0, 1000))
    def test_each_comes_floor_or_ceil_of_its_weight_times(
        self, values: list[float], number: int
    ) -> None:
        weights = torch.tensor(values, dtype=torch.float64)
        weights /= weights.mean()
        indices = epoch(weights, number=number)
        assert len(indices) == len(values)
        times = torch.bincount(torch.tensor(indices), minlength=len(values))
        assert (times - weights).abs().max() < 1 + 1e-6

    def test_on_average_as_often_as_its_weight(self) -> None:
        weights = by_age(skewed(), 0.5)
        counts = torch.zeros(1000)
        for number in range(100):
            indices = epoch(weights, number=number)
            counts += torch.bincount(torch.tensor(indices), minlength=1000)
        assert float((counts / 100 - weights).abs().mean()) < 0.05

    @pytest.mark.parametrize(("count", "ranks"), [(12, 3), (13, 3), (5, 5), (4, 5)])
    def test_ranks_share_an_epoch(self, count: int, ranks: int) -> None:
        weights = torch.ones(count).double()
        parts = [epoch(weights, ranks, rank) for rank in range(ranks)]
        assert {len(part) for part in parts} == {count // ranks}
        together = [index for part in parts for index in part]
        assert len(set(together)) == len(together)
        if count % ranks == 0:
            assert sorted(together) == list(range(count))

    def test_ranks_share_what_one_alone_has(self) -> None:
        weights = by_age(skewed(), 1.0)
        parts = [epoch(weights, 4, rank) for rank in range(4)]
        alone = epoch(weights)
        assert sorted(index for part in parts for index in part) == sorted(alone)

    def test_seed_and_epoch_decide(self) -> None:
        weights = by_age(skewed(), 0.5)
        first = epoch(weights, seed=3, number=5)
        assert epoch(weights, seed=3, number=5) == first
        torch.manual_seed(7)  # of everything else
        assert epoch(weights, seed=3, number=5) == first
        assert epoch(weights, seed=3, number=6) != first
        assert epoch(weights, seed=4, number=5) != first

    def test_asked_twice_it_says_the_same(self) -> None:
        sampler = BalancedSampler(torch.ones(30).double(), 1, 0, seed=1)
        assert list(sampler) == list(sampler)
