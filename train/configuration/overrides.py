"""Overrides as users type them -> overrides in Hydra's grammar.

Hydra parses values as numbers, lists and functions, and fails on paths with special characters or
letters beyond ASCII. Here the key's type decides. Text is taken literally, without quotes around
the whole value. A list of texts is split at its commas, unless a file has the whole value as its
name. Interpolations, `${...}`, pass unchanged, and so do values of untyped keys that Hydra can
parse.
"""

import os
import re
from typing import Any, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf.errors import GrammarParseError
from omegaconf.grammar_parser import parse

from train.configuration.checks import type_of

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_WHOLE = re.compile(_QUOTED, re.DOTALL)
_ELEMENT = re.compile(rf"\s*(?:{_QUOTED})\s*(?=,|$)", re.DOTALL)
_SWEEP = re.compile(r"\s*(choice|range|interval|shuffle|sort|glob|tag)\s*\(.*\)\s*", re.DOTALL)


def quoted(override: str, sweeping: bool = False) -> str:
    """`override` with its value quoted as Hydra needs it; `sweeping`: under --multirun."""
    key, equals, value = override.partition("=")
    kind = type_of(key.lstrip("+"))
    if not equals or key.startswith("~"):
        return override
    if kind in (str, str | None):
        return f"{key}={_text_value(value, kind, sweeping)}"
    if get_origin(kind) is list:
        return _list(key, value, get_args(kind)[0] is str, sweeping)
    return _other(key, value, free=kind in (None, Any), sweeping=sweeping)


def _text_value(value: str, kind: Any, sweeping: bool) -> str:
    if (value == "null" and kind is not str) or (sweeping and _SWEEP.fullmatch(value)):
        return value
    return ",".join(map(_text, split_elements(value))) if sweeping else _text(value)


def _list(key: str, value: str, texts: bool, sweeping: bool) -> str:
    """An override of a list; brackets around the value are optional."""
    override = f"{key}={value}"
    parsed = _parsed(override)
    if value.strip().startswith("${") or value == "null":
        return override
    if sweeping and parsed is not None and (parsed.is_sweep_override() or "[" not in value):
        return override
    inner = value.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    if not texts:
        listed = f"{key}=[{inner}]"
        return listed if _parsed(listed) is not None else f"{key}={_literal(value)}"
    elements = [inner] if os.path.lexists(inner) else split_elements(inner) if inner.strip() else []
    return f"{key}=[{','.join(map(_text, elements))}]" if all(elements) else override


def _other(key: str, value: str, free: bool, sweeping: bool) -> str:
    override = f"{key}={value}"
    parsed = _parsed(override)
    if parsed is None or (parsed.is_sweep_override() and not (free or sweeping)):
        return f"{key}={_literal(value)}"
    return override


def split_elements(text: str) -> list[str]:
    """`text` split at its commas, except those within quoted elements and interpolations."""
    found: list[str] = []
    start = 0
    while True:
        element = _ELEMENT.match(text, start)
        end = element.end() if element else _end(text, start)
        found.append(text[start:end].strip())
        if end >= len(text):
            return found
        start = end + 1


def _end(text: str, start: int) -> int:
    depth = 0
    for i in range(start, len(text)):
        if text.startswith("${", i):
            depth += 1
        elif text[i] == "}" and depth:
            depth -= 1
        elif text[i] == "," and not depth:
            return i
    return len(text)


def _text(value: str) -> str:
    """`value` in Hydra's quotes, unless it has some and no file has this literal name."""
    if _WHOLE.fullmatch(value) and not os.path.lexists(value):
        return value
    return _literal(value)


def _literal(value: str) -> str:
    return str(QuotedString(text=escaped(value), quote=Quote.single).with_quotes())


def escaped(text: str) -> str:
    """`text` with a backslash before each `${` that does not begin an interpolation."""
    if "${" not in text:
        return text
    try:
        parse(text)
    except GrammarParseError:
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return text


def _parsed(override: str) -> Override | None:
    """None where Hydra cannot read it."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None
