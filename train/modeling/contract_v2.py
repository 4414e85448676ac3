"""Converts contracts of schema 2, which described age models alone, to today's schema."""

import json
from typing import Any

from handler.contract import SCHEMA, Contract

_AGE = {"low": 0, "high": 116, "unit": "years"}


def upgraded(text: str) -> str:
    """The JSON of a contract in today's schema; any other text than one of schema 2 is unchanged.

    Raises KeyError, TypeError or ValueError for a damaged contract of schema 2.
    """
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(values, dict) or values.get("schema") != 2:
        return text
    rest = {key: values[key] for key in ("data", "metrics", "provenance") if key in values}
    calibration = dict(values["calibration"])
    calibration["values"] = calibration.pop("ages")
    task = {
        "name": "age",
        "input": {"faces": {"detector": values["detector"], "crop": values["crop"]}},
        "output": {"ordinal": _AGE},
    }
    content = {"task": task, "calibration": {"ordinal": calibration}, "schema": SCHEMA, **rest}
    return Contract.from_json(json.dumps(content)).to_json()
