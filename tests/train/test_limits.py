"""Which values the numbers of a training may have."""

import re

import pytest
from omegaconf import OmegaConf

from tests.train.conftest import configuration
from train.limits import limited, refuse_impossible


def test_the_defaults_are_possible() -> None:
    refuse_impossible(configuration([]))
    refuse_impossible(configuration(["fit.clip=null", "fit.learning_rate=0", "fit.warmup=1"]))


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("fit.epochs", 0, "a whole number of at least 1"),
        ("fit.epochs", -2, "a whole number of at least 1"),
        ("fit.epochs", 2.5, "a whole number of at least 1"),
        ("fit.batch_size", 0, "a whole number of at least 1"),
        ("fit.accumulate", 0, "a whole number of at least 1"),
        ("fit.patience", 0, "a whole number of at least 1, or null"),
        ("fit.balance.age", 1.5, "a number from 0 to 1"),
        ("fit.balance.source", -0.1, "a number from 0 to 1"),
        ("fit.learning_rate", float("nan"), "a number of at least 0"),
        ("fit.learning_rate", float("inf"), "a number of at least 0"),
        ("fit.learning_rate", True, "a number of at least 0"),
        ("fit.learning_rate", None, "a number of at least 0"),
        ("fit.warmup", 1.1, "a number from 0 to 1"),
        ("fit.clip", 0, "a number above 0, or null"),
        ("fit.sigma", 0, "a number above 0"),
        ("seed", 2**31, "a whole number from 0 to 2147483647"),
    ],
)
def test_an_impossible_value_is_named(key: str, value: float, wanted: str) -> None:
    config = OmegaConf.create(OmegaConf.to_container(configuration([])))
    OmegaConf.update(config, key, value)
    with pytest.raises(ValueError, match=rf"^{key}={re.escape(str(value))}: it must be {wanted}$"):
        refuse_impossible(config)


@pytest.mark.parametrize(
    ("limit", "left"), [(None, 12), (1, 1), (20, 12), (1.0, 12), (0.5, 6), (0.1, 1)]
)
def test_a_limit_in_batches_or_a_part(limit: float | None, left: int) -> None:
    assert limited(12, limit) == left


@pytest.mark.parametrize("limit", [0, -1, 0.0, 1.5, "half"])
def test_a_limit_that_is_none(limit: float) -> None:
    with pytest.raises(ValueError, match=r"fit\.limit_train_batches=.*: it must be a number of b"):
        limited(12, limit)


def test_a_part_too_small_for_one_batch() -> None:
    with pytest.raises(ValueError, match=r"limit_train_batches=0\.05 of 12 batches is none"):
        limited(12, 0.05)
