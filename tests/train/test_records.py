import math

import pytest

from train.records import checked_age, split_of


def test_split_of_is_the_same_for_a_name_and_near_its_shares() -> None:
    names = [f"{i}.jpg" for i in range(2000)]
    splits = [split_of(name) for name in names]
    assert splits == [split_of(name) for name in names]
    assert 0.80 < splits.count("train") / 2000 < 0.88
    assert 0.06 < splits.count("val") / 2000 < 0.10


@pytest.mark.parametrize("age", [0.0, 33.5, 116.0])
def test_checked_age_gives_it_back(age: float) -> None:
    assert checked_age(age) == age


@pytest.mark.parametrize("age", [-1.0, 117.0, math.nan])
def test_checked_age_refuses_what_the_distribution_cannot_hold(age: float) -> None:
    with pytest.raises(ValueError, match="not within 0 to 116"):
        checked_age(age)
