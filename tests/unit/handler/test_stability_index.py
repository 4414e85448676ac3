"""handler/stability_index.py: 0 for one shape, by its formula for others."""

import math

import numpy as np
import pytest

from handler.stability_index import stability_index


def test_one_shape_is_stable() -> None:
    assert stability_index([10, 20, 30], [10, 20, 30]) == 0
    assert stability_index([1000, 2000, 3000], [10, 20, 30]) == pytest.approx(0, abs=0.001)


def test_two_bins_by_hand() -> None:
    # with half a count more in each: 3/4 and 1/4 become 1/4 and 3/4
    assert stability_index([2.5, 0.5], [0.5, 2.5]) == pytest.approx(2 * 0.5 * math.log(3))


def test_an_empty_bin_is_no_infinity() -> None:
    assert 1 < stability_index([100, 0], [0, 100]) < 20


def test_no_samples_say_nothing() -> None:
    assert stability_index([5, 5], [0, 0]) == 0


def test_samples_of_one_distribution_have_the_index_that_the_docstring_says() -> None:
    random = np.random.default_rng(0)
    found = [
        stability_index(
            *(random.multinomial(n, [0.1] * 10).tolist() for n in (400, 200))  # type: ignore[arg-type]
        )
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(9 * (1 / 400 + 1 / 200), rel=0.15)
