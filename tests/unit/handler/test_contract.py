import dataclasses
import json
import math
from typing import Any

import pytest

from handler.contract import (
    CategoryCalibration,
    Contract,
    ContractError,
    OrdinalCalibration,
)
from handler.task import (
    Categories,
    CropGeometry,
    DetectorSettings,
    FaceInput,
    ImageInput,
    Ordinal,
    Task,
)

FACES = FaceInput(
    DetectorSettings(thresholds=(0.5, 0.6, 0.8), factor=0.8, border=0.25),
    CropGeometry(size=128, margin=-0.02, fill=7),
)
YEARS = Ordinal(0, 116, "years")
AGES = OrdinalCalibration(0.9, values=(0, 50, 116), lower=(-1, -2.5, -2), upper=(2, 1.5, 0))
FULL = Contract(
    task=Task("age", FACES, YEARS),
    calibration=AGES,
    data=("utkface", "appa_real"),
    metrics={"mae": 4.9},
    provenance={"steps": [{"name": "a", "start": []}]},
)


CATEGORIES = Contract(
    task=Task("bird", ImageInput(224, 0.875), Categories(("robin", "wren", "grey heron"))),
    calibration=CategoryCalibration(0.9, threshold=0.15, temperature=1.4),
)
# Where the parts of `FULL` are in its JSON.
PLACES = {
    "crop": "task.input.faces.crop",
    "detector": "task.input.faces.detector",
    "calibration": "calibration.ordinal",
    "ordinal": "task.output.ordinal",
    "sets": "calibration.categories",
}


def place(content: Any, path: str) -> tuple[Any, str]:
    """The object that holds the value at `path` ("crop.size"), and its key."""
    first, *rest = path.split(".")
    *parents, key = [*PLACES.get(first, first).split("."), *rest]
    for parent in parents:
        content = content[parent]
    return content, key


def changed(path: str, value: Any, contract: Contract = FULL) -> str:
    """The JSON of a contract with the value at `path` replaced."""
    content = json.loads(contract.to_json())
    inner, key = place(content, path)
    inner[key] = value
    return json.dumps(content)


def lacking(path: str) -> str:
    content = json.loads(FULL.to_json())
    inner, key = place(content, path)
    del inner[key]
    return json.dumps(content)


def refused(text: str | bytes) -> str:
    with pytest.raises(ContractError) as caught:
        Contract.from_json(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_round_trip() -> None:
    assert Contract.from_json(FULL.to_json()) == FULL
    assert Contract.from_json(FULL.to_json().encode()) == FULL
    plain = Contract(FULL.task, FULL.calibration)
    assert Contract.from_json(plain.to_json()) == plain


@pytest.mark.parametrize("of", [FACES, ImageInput(32, 1.0)])
@pytest.mark.parametrize(
    ("output", "calibration"),
    [(YEARS, AGES), (Categories(("ä", "b c")), CategoryCalibration(0.8, 0.0, 0.5))],
)
def test_round_trip_of_every_kind(of: Any, output: Any, calibration: Any) -> None:
    contract = Contract(Task("any_2", of, output), calibration)
    assert Contract.from_json(contract.to_json()) == contract


def test_the_json_names_the_alternatives() -> None:
    content = json.loads(CATEGORIES.to_json())
    assert content["schema"] == 3
    assert content["task"] == {
        "name": "bird",
        "input": {"image": {"size": 224, "crop_fraction": 0.875}},
        "output": {"categories": {"names": ["robin", "wren", "grey heron"]}},
    }
    assert content["calibration"] == {
        "categories": {"coverage": 0.9, "threshold": 0.15, "temperature": 1.4}
    }
    assert json.loads(FULL.to_json())["task"]["input"].keys() == {"faces"}


def test_what_has_defaults_may_be_absent() -> None:
    assert Contract.from_json(lacking("data")) == dataclasses.replace(FULL, data=())
    assert Contract.from_json(lacking("provenance")).provenance is None  # of earlier versions
    of = Contract.from_json(lacking("detector.factor")).task.input
    assert isinstance(of, FaceInput)
    assert of.detector.factor == 0.709
    text = json.loads(CATEGORIES.to_json())
    del text["calibration"]["categories"]["temperature"]
    assert Contract.from_json(json.dumps(text)).calibration == CategoryCalibration(0.9, 0.15, 1.0)


@pytest.mark.parametrize("schema", [0, 1, 2, 4, "3", None])
def test_another_schema(schema: Any) -> None:
    message = refused(changed("schema", schema))
    assert message == (
        f"the model's contract has schema {schema!r}; this handler knows 3: build the model again "
        "from its weights (python -m train.torchscript --weights FILE), or serve it with the "
        "package it came from"
    )


def test_of_an_earlier_version() -> None:
    """It says so before it says anything of the parts, which are others."""
    earlier = {
        "schema": 2,
        "crop": {"size": 224, "margin": 0.2, "fill": 0},
        "detector": {"thresholds": [0.6, 0.7, 0.7], "factor": 0.709, "border": 0.5},
        "calibration": {"coverage": 0.9, "ages": [0, 116], "lower": [-2, -2], "upper": [2, 2]},
        "data": [],
        "metrics": {},
        "provenance": None,
    }
    assert "has schema 2; this handler knows 3: build the model again" in refused(
        json.dumps(earlier)
    )


def test_without_schema() -> None:
    assert "has schema None" in refused(lacking("schema"))


@pytest.mark.parametrize(
    ("path", "part"),
    [("align", "contract"), ("crop.align", "crop"), ("detector.x", "detector"),
     ("calibration.x", "calibration"), ("task.x", "task"), ("task.input.faces.x", "input"),
     ("ordinal.x", "output")],
)  # fmt: skip
def test_unknown_key(path: str, part: str) -> None:
    key = path.split(".")[-1]
    assert refused(changed(path, 1)) == (
        f"the model's contract has an unknown key {key!r} in {part!r}"
    )


@pytest.mark.parametrize(
    "parents", ["task.input.faces.crop", "task.input.faces.detector", "task.input", "task.output",
                "task", "calibration"],
)  # fmt: skip
def test_missing_part(parents: str) -> None:
    content = inner = json.loads(FULL.to_json())
    *parts, part = parents.split(".")
    for key in parts:
        inner = inner[key]
    message = f"the model's contract lacks {part!r}"
    inner[part] = 5
    assert refused(json.dumps(content)) == message
    del inner[part]
    assert refused(json.dumps(content)) == message


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("task.input", {}, "'input' with nothing, not with one of faces, image"),
        ("task.input", {"face": {}}, "'input' with 'face', not with one of faces, image"),
        (
            "task.output",
            {"ordinal": {}, "categories": {}},
            "'output' with 'ordinal', 'categories', not with one of ordinal, categories",
        ),
    ],
)
def test_an_unknown_alternative(path: str, value: Any, message: str) -> None:
    assert refused(changed(path, value)) == f"the model's contract has {message}"


def test_a_calibration_of_another_kind_than_the_output() -> None:
    content = json.loads(FULL.to_json())
    content["calibration"] = json.loads(CATEGORIES.to_json())["calibration"]
    message = refused(json.dumps(content))
    assert message == "the model's calibration is of another kind than its output"


@pytest.mark.parametrize("path", ["crop.size", "crop.margin", "calibration.upper"])
def test_missing_value(path: str) -> None:
    part, key = path.split(".")
    message = refused(lacking(path))
    assert repr(part) in message
    assert repr(key) in message


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe\x00", "nonsense", "[" * 100_000, "9" * 5000])
def test_not_json(text: str | bytes) -> None:
    assert refused(text).startswith("the model's contract.json is not JSON")


@pytest.mark.parametrize("text", ["[]", "5", "null"])
def test_not_an_object(text: str) -> None:
    assert refused(text) == "the model's contract.json is not a JSON object"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("crop.size", "128"),
        ("crop.size", 12.5),
        ("crop.margin", None),
        ("detector.thresholds", 0.6),
        ("detector.thresholds", [0.6, 0.7]),
        ("detector.factor", "big"),
        ("ordinal.low", 0.5),
        ("ordinal.unit", 5),
        ("task.name", None),
        ("calibration.coverage", []),
        ("calibration.values", 5),
        ("calibration.lower", ["-1"]),
        ("data", 5),
        ("metrics", 5),
        ("provenance", []),
        ("provenance", "mine"),
        ("crop.margin", math.nan),
        ("crop.margin", math.inf),
        ("crop.margin", 10**400),
        ("detector.thresholds", [0.6, math.nan, 0.7]),
        ("detector.border", -math.inf),
        ("calibration.coverage", math.nan),
        ("calibration.values", [0, math.nan, 116]),
        ("calibration.lower", [-1, -math.inf, -1]),
        ("metrics", {"mae": math.nan}),
    ],
)
def test_value_of_a_wrong_type(path: str, value: Any) -> None:
    assert repr(path.split(".")[-1]) in refused(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("crop.size", 0, "crop has a size of 0, not from 1 to 4096"),
        ("crop.size", 10**9, "crop has a size of 1000000000, not from 1 to 4096"),
        ("crop.margin", -1, "crop has a margin of -1, not above -1 and up to 10.0"),
        ("crop.margin", 1e30, "crop has a margin of 1e+30, not above -1 and up to 10.0"),
        ("crop.fill", 256, "crop has a fill of 256, not from 0 to 255"),
        ("crop.fill", -1, "crop has a fill of -1, not from 0 to 255"),
        ("detector.thresholds", [0, 0, 2], "detector has thresholds of (0, 0, 2), not from 0 to 1"),
        ("detector.factor", 1, "detector has a factor of 1, not from 0.1 to 0.95"),
        ("detector.factor", 0, "detector has a factor of 0, not from 0.1 to 0.95"),
        ("detector.border", -0.1, "detector has a border of -0.1, not from 0 to 2"),
        ("calibration.coverage", 1, "calibration has a coverage of 1, not between 0 and 1"),
        ("calibration.values", [0], "calibration needs two values or more, rising"),
        ("calibration.values", [0, 50, 50], "calibration needs two values or more, rising"),
        ("calibration.lower", [-1, -1], "calibration has not one lower and upper for each value"),
        ("calibration.lower", [-1, 0.1, -1], "calibration leaves the estimate out of its interval"),
        ("calibration.upper", [1, -0.1, 1], "calibration leaves the estimate out of its interval"),
        (
            "ordinal.high",
            0,
            "output has values from 0 to 0: 2 to 10000 are possible",
        ),
    ],
)
def test_a_value_that_cannot_be(path: str, value: Any, message: str) -> None:
    assert refused(changed(path, value)) == f"the model's {message}"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("task.input.image.size", 0, "crop has a size of 0, not from 1 to 4096"),
        ("task.input.image.crop_fraction", 2.1, "crop_fraction is 2.1, not from 0.1 to 2"),
        ("task.output.categories.names", ["a"], "output has 1 names: 2 to 10000 are possible"),
        ("task.output.categories.names", ["a", "a"], "output names a category twice"),
        (
            "task.output.categories.names",
            ["a", "b\n"],
            "output has a name that is empty or cannot be printed",
        ),
        (
            "sets.threshold",
            -0.1,
            "calibration has a threshold of -0.1, not from 0 to 1",
        ),
        (
            "sets.temperature",
            0,
            "calibration has a temperature of 0, not from 0.01 to 100",
        ),
    ],
)
def test_a_value_of_categories_that_cannot_be(path: str, value: Any, message: str) -> None:
    assert refused(changed(path, value, CATEGORIES)) == f"the model's {message}"


def test_a_task_that_cannot_be_a_key_of_an_answer() -> None:
    assert refused(changed("task.name", "box")).startswith("a task cannot be named 'box': use ")
