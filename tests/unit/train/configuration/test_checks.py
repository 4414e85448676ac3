"""The schema and config.yaml agree, and what does not fit is told in a line."""

from dataclasses import fields, is_dataclass
from typing import get_type_hints

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from tests.unit.train.conftest import CONFIGS, configuration
from train.configuration.checks import ConfigError, checked, nearest, type_of
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
        free = key in ("data.sources", "data.terms", "trainer", "logger", "profiler")
        whole = free or not OmegaConf.is_dict(value)
        found |= {key} if whole else keys(value, f"{key}.")
    return found


@pytest.fixture(scope="module")
def shipped() -> DictConfig:
    return configuration([])


def changed(config: DictConfig, override: str) -> DictConfig:
    """`config` with a key as Hydra would set, add or delete it, which takes longer."""
    told = OverridesParser.create().parse_override(override)
    config = OmegaConf.create(OmegaConf.to_container(config))
    if told.is_delete():
        parent, _, name = told.key_or_group.rpartition(".")
        del (OmegaConf.select(config, parent) if parent else config)[name]
    else:
        OmegaConf.update(config, told.key_or_group, told.value(), merge=False)
    return config


def test_the_schema_has_the_keys_of_the_configuration(shipped: DictConfig) -> None:
    assert names(Config) - {"profiler"} == keys(shipped)


def test_what_is_shipped_fits() -> None:
    config = configuration([])
    assert OmegaConf.to_container(checked(config), resolve=True) == {
        **OmegaConf.to_container(config, resolve=True), "profiler": None  # type: ignore[dict-item]
    }  # fmt: skip
    for path in (CONFIGS / "experiment").glob("*.yaml"):
        if path.stem != "sweep":  # whose plugin is an extra
            checked(configuration([f"+experiment={path.stem}"]))
    for group in ("data", "model", "logger", "profiler"):
        for path in (CONFIGS / group).glob("*.yaml"):
            checked(configuration([f"{group}={path.stem}"]))


def test_values_get_the_types_of_their_keys() -> None:
    config = checked(
        configuration(["fit.sigma=3", "run=2026", "fit.precision=32", "+trainer.devices=[0]"])
    )
    assert (config.fit.sigma, config.run, config.fit.precision) == (3.0, "2026", "32")
    assert isinstance(config.fit.sigma, float)
    assert config.trainer.devices == [0]
    assert config.fit.side == config.crop.size


@pytest.mark.parametrize(
    ("override", "wanted"),
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
        ("fit.balance.age=-1", "a number from 0 to 1"),
        ("fit.loss=mse", "one of dldl_v2, cross_entropy, l1"),
        ("fit.resume=maybe", "true or false"),
        ("fit.start=[a]", "text that is not empty, or null,"),
        ("fit.teachers=[a,null]", "paths in brackets, as in [a.ckpt,b.ckpt],"),
        ("fit.limit_train_batches=0", "a number of batches, or a part of them"),
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
def test_a_value_that_does_not_fit_is_refused(
    shipped: DictConfig, override: str, wanted: str
) -> None:
    with pytest.raises(ConfigError) as failure:
        checked(changed(shipped, override))
    assert str(failure.value) == f"{override}: {wanted} is wanted"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit.start=${nope}", "fit.start=${nope}: Interpolation key 'nope' not found"),
        ("run=???", "run: a value is missing"),
        ("~fit.epochs", "fit.epochs: a value is missing"),
        ("+fit.epoch=3", "fit.epoch: there is no such key; fit.epochs may be meant"),
        ("+nope=3", "nope: there is no such key"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(
    shipped: DictConfig, override: str, message: str
) -> None:
    with pytest.raises(ConfigError) as failure:
        checked(changed(shipped, override))
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
def test_what_fits_is_taken(shipped: DictConfig, override: str) -> None:
    checked(changed(shipped, override))


def test_the_type_of_a_key() -> None:
    assert type_of("run") is type_of("data.sources.anything") is str
    assert type_of("fit.start") == str | None
    assert type_of("fit.teachers") == list[str]
    assert type_of("fit.nope") is type_of("data") is None


def test_the_key_that_was_meant() -> None:
    assert nearest("fit.epohcs") == "; fit.epochs may be meant"
    assert nearest("epochs") == "; fit.epochs may be meant"
    assert nearest("bach_size") == "; fit.batch_size or evaluate.batch_size may be meant"
    assert nearest("data.sources.own") == "; +data.sources.own=... adds it"
    assert nearest("something") == ""
