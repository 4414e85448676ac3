"""A configuration that fits `train.configuration.schema`, or one line that says what does not."""

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
from train.configuration.schema import Config, Wanted


class ConfigError(ValueError):
    """A key or a value that a command cannot take."""


def _leaves(section: type, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every key, its type, and the same with what is wanted of it."""
    types, annotated = get_type_hints(section), get_type_hints(section, include_extras=True)
    for each in fields(section):
        name, kind = f"{prefix}{each.name}", types[each.name]
        if is_dataclass(kind):
            yield from _leaves(cast("type", kind), f"{name}.")
        else:
            yield name, kind, annotated[each.name]


def _wanted(annotated: Any) -> Wanted | None:
    """What an annotated type, or one of its parts, wants; an optional one takes null too."""
    found = [each for each in getattr(annotated, "__metadata__", ()) if isinstance(each, Wanted)]
    if found:
        return found[0]
    inner = next(filter(None, map(_wanted, get_args(annotated))), None)
    if inner is None or type(None) not in get_args(annotated):
        return inner
    return Wanted(f"{inner.words}, or null,", lambda value: value is None or inner.holds(value))


_TYPES = {name: kind for name, kind, _ in _leaves(Config)}
_WANTED = {name: wanted for name, _, kind in _leaves(Config) if (wanted := _wanted(kind))}


def type_of(key: str) -> Any:
    """The type of a key's value, as in `float | None`; None where there is no such key."""
    table = _TYPES.get(key.rpartition(".")[0])
    return get_args(table)[1] if get_origin(table) is dict else _TYPES.get(key)


def takes(key: str) -> str | None:
    """What a key's value has to be, in words; None where any of its type will do."""
    wanted = _WANTED.get(key)
    return wanted.words if wanted else None


def nearest(key: str) -> str:
    """Words that say what was probably meant instead of a key that is not there, or nothing."""
    if key in ALIASES:
        return f"; it is now {ALIASES[key]}"
    if type_of(key):
        return f"; +{key}=... adds it"
    last = {name: name.rpartition(".")[2] for name in _TYPES}
    close = difflib.get_close_matches(key, _TYPES, 1, 0.8)
    if not close:
        ends = difflib.get_close_matches(key.rpartition(".")[2], last.values(), 1, 0.8)
        close = [name for name in _TYPES if last[name] in ends]
    return f"; {' or '.join(close)} may be meant" if close else ""


def checked(config: DictConfig) -> DictConfig:
    """`config` with values of the right types.

    Raises ConfigError where a key is unknown or missing, or its value is none that it takes.
    """
    try:
        typed = cast("DictConfig", OmegaConf.merge(OmegaConf.structured(Config), config))
    except (ConfigKeyError, ConfigAttributeError) as error:
        key = str(error.full_key)
        raise ConfigError(f"{key}: there is no such key{nearest(key)}") from error
    except OmegaConfBaseException as error:
        raise _refused(config, str(error.full_key), error) from error
    for key, wanted in _WANTED.items():
        try:
            held = wanted.holds(OmegaConf.select(typed, key, throw_on_missing=True))
        except OmegaConfBaseException as error:
            raise _refused(config, key, error) from error
        if not held:
            raise _refused(config, key)
    return typed


def _refused(
    config: DictConfig, key: str, why: OmegaConfBaseException | None = None
) -> ConfigError:
    key = key.partition("[")[0]  # of a list's element
    value: Any = OmegaConf.to_container(config)
    for part in key.split("."):
        value = value.get(part, "???") if isinstance(value, dict) else "???"
    if value == "???":
        return ConfigError(f"{key}: a value is missing")
    wanted = _WANTED.get(key)
    if wanted is None or isinstance(why, InterpolationResolutionError):
        return ConfigError(f"{key}={_spelled(value)}: {str(why).splitlines()[0]}")
    return ConfigError(f"{key}={_spelled(value)}: {wanted.words} is wanted")


def _spelled(value: Any) -> str:
    """As it is written on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(_spelled, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
