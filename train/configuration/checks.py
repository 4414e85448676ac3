"""Validation of a configuration against `train.configuration.schema`, with one-line errors."""

import difflib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, cast, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)

from train.configuration.aliases import ALIASES
from train.configuration.constraints import Constraint
from train.configuration.schema import Config


class ConfigError(ValueError):
    """An unknown key, a missing value, or a value outside its constraint."""


def _leaves(section: type, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every key with its type, without and with annotations."""
    types, annotated = get_type_hints(section), get_type_hints(section, include_extras=True)
    for each in fields(section):
        name, kind = f"{prefix}{each.name}", types[each.name]
        if is_dataclass(kind):
            yield from _leaves(cast("type", kind), f"{name}.")
        else:
            yield name, kind, annotated[each.name]


def _constraint(annotated: Any) -> Constraint | None:
    """The constraint of an annotated type, or of one of its arguments; optional ones allow null."""
    metadata = getattr(annotated, "__metadata__", ())
    found = [each for each in metadata if isinstance(each, Constraint)]
    if found:
        return found[0]
    inner = next(filter(None, map(_constraint, get_args(annotated))), None)
    if inner is None or type(None) not in get_args(annotated):
        return inner
    return Constraint(f"{inner.words}, or null,", lambda value: value is None or inner.holds(value))


_TYPES = {name: kind for name, kind, _ in _leaves(Config)}
_CONSTRAINTS = {
    name: constraint for name, _, kind in _leaves(Config) if (constraint := _constraint(kind))
}


def type_of(key: str) -> Any:
    """The type of a key's value, as in `float | None`; None for an unknown key."""
    table = _TYPES.get(key.rpartition(".")[0])
    return get_args(table)[1] if get_origin(table) is dict else _TYPES.get(key)


def requirement(key: str) -> str | None:
    """A key's constraint in words; None if every value of its type is valid."""
    constraint = _CONSTRAINTS.get(key)
    return constraint.words if constraint else None


def suggestion(key: str) -> str:
    """The end of the message for an unknown key: similar keys, or how to add it; may be empty."""
    if key in ALIASES:
        return f"; it is now {ALIASES[key]}"
    if type_of(key):
        return f"; +{key}=... adds it"
    last = {name: name.rpartition(".")[2] for name in _TYPES}
    close = difflib.get_close_matches(key, _TYPES, 1, 0.8)
    if not close:
        ends = difflib.get_close_matches(key.rpartition(".")[2], last.values(), 1, 0.8)
        close = [name for name in _TYPES if last[name] in ends]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def validated(config: DictConfig) -> DictConfig:
    """`config` with values converted to their keys' types.

    Raises ConfigError for an unknown key, a missing value, or a value outside its constraint.
    """
    try:
        typed = cast("DictConfig", OmegaConf.merge(OmegaConf.structured(Config), config))
    except (ConfigKeyError, ConfigAttributeError) as error:
        key = str(error.full_key)
        raise ConfigError(f"{key}: unknown key{suggestion(key)}") from error
    except OmegaConfBaseException as error:
        raise _error(config, str(error.full_key), error) from error
    for key, constraint in _CONSTRAINTS.items():
        try:
            valid = constraint.holds(OmegaConf.select(typed, key, throw_on_missing=True))
        except OmegaConfBaseException as error:
            raise _error(config, key, error) from error
        if not valid:
            raise _error(config, key)
    return typed


def _error(
    config: DictConfig, key: str, cause: OmegaConfBaseException | None = None
) -> ConfigError:
    key = key.partition("[")[0]  # the list of an element
    value: Any = OmegaConf.to_container(config)
    for part in key.split("."):
        value = value.get(part, "???") if isinstance(value, dict) else "???"
    if value == "???":
        return ConfigError(f"{key}: a value is missing")
    constraint = _CONSTRAINTS.get(key)
    if constraint is None or isinstance(cause, InterpolationResolutionError):
        return ConfigError(f"{key}={_spelled(value)}: {str(cause).splitlines()[0]}")
    return ConfigError(f"{key}={_spelled(value)}: {constraint.words} is expected")


def _spelled(value: Any) -> str:
    """A value as the command line spells it."""
    if isinstance(value, list):
        return f"[{','.join(map(_spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{_spelled(each)}' for name, each in value.items())}}}"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
