"""Earlier names of configuration keys, which this version still accepts, with a warning.

To rename a key, change it in `config/config.yaml` and `train.configuration.schema`, and add a line
to ALIASES. The earlier name then works on the command line, in experiment files, and in the
configurations of earlier runs.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)
ALIASES: Mapping[str, str] = {
    "fit.balance.age": "fit.balance.target",
    "fit.blend": "fit.mixup",
    "fit.helper_weight": "fit.auxiliary_weight",
    "fit.hint_weight": "fit.feature_weight",
    "sheet.photographs": "sheet.images",
}


def key_of(override: str) -> str:
    """The key that an override such as `++fit.epochs=3` sets, adds or deletes."""
    return override.lstrip("+~").partition("=")[0]


def rename_override(override: str) -> str:
    """`override` of the command line under the key's current name; warns of an earlier one."""
    old = key_of(override)
    if old not in ALIASES:
        return override
    _warn("command line", old)
    return override.replace(old, ALIASES[old], 1)


def rename_keys(config: DictConfig, where: str, overrides: Collection[str] = ()) -> DictConfig:
    """`config` under the keys' current names; warns of each earlier one found in it.

    `where` tells the warnings' reader which file to edit. A value under an earlier name replaces
    the one under the current name, which is then a default, unless `overrides` of the command line
    set the latter.
    """
    values: Any = OmegaConf.to_container(config)
    overridden = set(map(key_of, overrides))
    found = [(old, new) for old, new in ALIASES.items() if _parent(values, old) is not None]
    for old, new in found:
        _warn(where, old)
        value = _pop(values, old)
        if new not in overridden:
            _set(values, new, value)
    return cast("DictConfig", OmegaConf.create(values)) if found else config


def with_earlier_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a configuration as nested dicts under the keys' earlier names.

    Checksums of settings use these names, so that a new name does not change them.
    """
    copy = cast("dict[str, Any]", _copy(values))
    for old, new in ALIASES.items():
        if _parent(copy, new) is not None:
            _set(copy, old, _pop(copy, new))
    return copy


def _warn(where: str, old: str) -> None:
    log.warning(
        "%s: %s is now %s; the next version does not accept the earlier name",
        where, old, ALIASES[old],
    )  # fmt: skip


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _parent(values: Any, key: str) -> dict[str, Any] | None:
    """The innermost dict that holds the last part of `key`, or None if there is no such key."""
    *sections, name = key.split(".")
    for section in sections:
        values = values.get(section) if isinstance(values, dict) else None
    return values if isinstance(values, dict) and name in values else None


def _pop(values: dict[str, Any], key: str) -> Any:
    parent = _parent(values, key)
    return None if parent is None else parent.pop(key.rpartition(".")[2])


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = value
