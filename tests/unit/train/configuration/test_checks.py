"""The schema matches config.yaml, and violations are one-line errors."""

from dataclasses import fields, is_dataclass
from typing import get_type_hints

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from tests.unit.train.conftest import configuration
from train.configuration.checks import ConfigError, suggestion, type_of, validated
from train.configuration.schema import Config


def names(section: type, prefix: str = "") -> set[str]:
    types = get_type_hints(section)
    found = set()
    for each in fields(section):
        kind = types[each.name]
        inner = names(kind, f"{prefix}{each.name}.") if is_dataclass(kind) else None
        found |= inner or {prefix + each.name}
    return found


def keys(config: DictConfig, prefix: str = "") -> set[str]:
    found = set()
    for name, value in config.items():
        key = f"{prefix}{name}"
        free = key in (
            "data.sources",
            "data.terms",
            "data.tight",
            "fit.balance.auxiliary",
            "task.auxiliary",
            "trainer",
            "logger",
            "profiler",
        )
        whole = free or not OmegaConf.is_dict(value)
        found |= {key} if whole else keys(value, f"{key}.")
    return found


@pytest.fixture(scope="module")
def shipped() -> DictConfig:
    return configuration([])


def changed(config: DictConfig, override: str) -> DictConfig:
    """`config` with a key set, added or deleted; Hydra itself takes longer."""
    parsed = OverridesParser.create().parse_override(override)
    config = OmegaConf.create(OmegaConf.to_container(config))
    if parsed.is_delete():
        parent, _, name = parsed.key_or_group.rpartition(".")
        del (OmegaConf.select(config, parent) if parent else config)[name]
    else:
        OmegaConf.update(config, parsed.key_or_group, parsed.value(), merge=False)
    return config


def test_the_schema_has_the_keys_of_the_configuration(shipped: DictConfig) -> None:
    assert names(Config) - {"profiler"} == keys(shipped)


def test_values_get_the_types_of_their_keys() -> None:
    config = validated(
        configuration(["fit.sigma=3", "run=2026", "fit.precision=32", "+trainer.devices=[0]"])
    )
    assert (config.fit.sigma, config.run, config.fit.precision) == (3.0, "2026", "32")
    assert isinstance(config.fit.sigma, float)
    assert config.trainer.devices == [0]
    assert config.fit.side == config.crop.size


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fit.epochs=many", "a whole number of at least 1"),
        ("fit.epochs=0", "a whole number of at least 1"),
        ("fit.epochs=1.5", "a whole number of at least 1"),
        ("fit.epochs=null", "a whole number of at least 1"),
        ("fit.epochs=true", "a whole number of at least 1"),
        ("fit.epochs=[1,2]", "a whole number of at least 1"),
        ("fit.batch_size=-4", "a whole number of at least 1"),
        ("fit.patience=0", "a whole number of at least 1, or null,"),
        ("fit.learning_rate=0", "a number above 0"),
        ("fit.learning_rate=nan", "a number above 0"),
        ("fit.learning_rate=inf", "a number above 0"),
        ("fit.warmup=1.5", "a number from 0 to 1"),
        ("fit.ema=2", "a number from 0 to 1, or null,"),
        ("fit.balance.target=-1", "a number from 0 to 1"),
        ("fit.balance.auxiliary={gender:2}", "numbers from 0 to 1, as in {gender:0.5},"),
        ("fit.loss=mse", "one of auto, dldl_v2, cross_entropy, l1"),
        ("fit.resume=maybe", "true or false"),
        ("fit.start=[a]", "text that is not empty, or null,"),
        ("fit.teachers=[a,null]", "paths in brackets, as in [a.ckpt,b.ckpt],"),
        ("fit.limit_train_batches=0", "a number of batches, or a fraction of them"),
        ("crop.size=abc", "a multiple of 8, in pixels,"),
        ("crop.size=100", "a multiple of 8, in pixels,"),
        ("crop.fill=256", "a whole number from 0 to 255"),
        ("crop.detector.thresholds=[1,2,3]", "three numbers from 0 to 1 in brackets"),
        ("evaluate.split=tset", "one of train, val, test"),
        ("evaluate.bootstrap=0", "a whole number of at least 1"),
        ("augment.scale=[1.2,0.8]", "two numbers above 0 in brackets, the smaller one first,"),
        ("augment.mirror=2", "a number from 0 to 1"),
        ("export.checkpoints=[]", "paths in brackets, as in [a.ckpt,b.ckpt],"),
        ("variants.prune=[0.3,1]", "numbers of at least 0 and below 1 in brackets"),
        ("model.frozen=conv1", "true, false, or names as in [conv1,layer1]"),
        ("data.max_bad=2", "a number from 0 to 1"),
        ("seed=-1", "a whole number from 0 to 4294967295"),
        ("run=", "text that is not empty"),
    ],
)
def test_an_invalid_value_is_refused(shipped: DictConfig, override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as failure:
        validated(changed(shipped, override))
    assert str(failure.value) == f"{override}: {expected} is expected"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit.start=${nope}", "fit.start=${nope}: Interpolation key 'nope' not found"),
        ("run=???", "run: a value is missing"),
        ("~fit.epochs", "fit.epochs: a value is missing"),
        ("+fit.epoch=3", "fit.epoch: unknown key; did you mean fit.epochs?"),
        ("+nope=3", "nope: unknown key"),
    ],
)
def test_an_unknown_key_or_missing_value_is_refused(
    shipped: DictConfig, override: str, message: str
) -> None:
    with pytest.raises(ConfigError) as failure:
        validated(changed(shipped, override))
    assert str(failure.value) == message


@pytest.mark.parametrize(
    "override",
    [
        "fit.limit_train_batches=3", "fit.limit_train_batches=0.5", "fit.limit_train_batches=null",
        "model.frozen=true", "model.frozen=[conv1,bn1]", "fit.ema=0.5", "fit.clip=null",
        "fit.warmup=0", "variants.prune=[]",
        "export.shift=0", "fit.start=a.ckpt", "+profiler=null",
        "++trainer.anything=[x]",
    ],
)  # fmt: skip
def test_a_valid_value_is_accepted(shipped: DictConfig, override: str) -> None:
    validated(changed(shipped, override))


def test_the_type_of_a_key() -> None:
    assert type_of("run") is type_of("data.sources.anything") is str
    assert type_of("fit.start") == str | None
    assert type_of("fit.teachers") == list[str]
    assert type_of("fit.nope") is type_of("data") is None


def test_suggestions_for_an_unknown_key() -> None:
    assert suggestion("fit.epohcs") == "; did you mean fit.epochs?"
    assert suggestion("epochs") == "; did you mean fit.epochs?"
    assert suggestion("bach_size") == "; did you mean fit.batch_size or evaluate.batch_size?"
    assert suggestion("data.sources.own") == "; +data.sources.own=... adds it"
    assert suggestion("something") == ""
