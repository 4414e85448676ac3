import dataclasses
import json
import math
import shlex
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from handler.contract import (
    EXTRA_FILE,
    Calibration,
    Contract,
    ContractError,
    CropGeometry,
    DetectorSettings,
    read_contract,
    read_extra,
)

FULL = Contract(
    crop=CropGeometry(size=128, margin=-0.02, fill=7),
    detector=DetectorSettings(thresholds=(0.5, 0.6, 0.8), factor=0.8, border=0.25),
    calibration=Calibration(0.9, ages=(0, 50, 116), lower=(-1, -2.5, -2), upper=(2, 1.5, 0)),
    data=("utkface", "appa_real"),
    metrics={"mae": 4.9},
    provenance={"steps": [{"name": "a", "start": []}]},
)
EXPORT = "python -m train.export"


def changed(path: str, value: Any) -> str:
    """The JSON of `FULL` with the value at `path` ("crop.size") replaced."""
    content = json.loads(FULL.to_json())
    *parents, key = path.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    inner[key] = value
    return json.dumps(content)


def lacking(path: str) -> str:
    content = json.loads(FULL.to_json())
    *parents, key = path.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
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
    plain = Contract(FULL.crop, DetectorSettings(), FULL.calibration)
    assert Contract.from_json(plain.to_json()) == plain


def test_what_has_defaults_may_be_absent() -> None:
    assert Contract.from_json(lacking("data")) == dataclasses.replace(FULL, data=())
    assert Contract.from_json(lacking("provenance")).provenance is None  # of earlier versions
    assert Contract.from_json(lacking("detector.factor")).detector.factor == 0.709


@pytest.mark.parametrize("schema", [0, 1, "2", None])
def test_another_schema(schema: Any) -> None:
    message = refused(changed("schema", schema))
    assert f"has schema {schema!r}; this handler knows 2" in message


def test_without_schema() -> None:
    assert "has schema None" in refused(lacking("schema"))


@pytest.mark.parametrize(
    ("path", "part"),
    [("align", "contract"), ("crop.align", "crop"), ("detector.x", "detector"),
     ("calibration.x", "calibration")],
)  # fmt: skip
def test_unknown_key(path: str, part: str) -> None:
    key = path.split(".")[-1]
    assert refused(changed(path, 1)) == (
        f"the model's contract has an unknown key {key!r} in {part!r}"
    )


@pytest.mark.parametrize("part", ["crop", "detector", "calibration"])
def test_missing_part(part: str) -> None:
    assert refused(lacking(part)) == f"the model's contract lacks {part!r}"
    assert refused(changed(part, 5)) == f"the model's contract lacks {part!r}"


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
        ("calibration.coverage", []),
        ("calibration.ages", 5),
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
        ("calibration.ages", [0, math.nan, 116]),
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
        ("calibration.ages", [0], "calibration needs two ages or more, rising"),
        ("calibration.ages", [0, 50, 50], "calibration needs two ages or more, rising"),
        ("calibration.lower", [-1, -1], "calibration has not one lower and upper for each age"),
        ("calibration.lower", [-1, 0.1, -1], "calibration leaves the estimate out of its interval"),
        ("calibration.upper", [1, -0.1, 1], "calibration leaves the estimate out of its interval"),
    ],
)
def test_a_value_that_cannot_be(path: str, value: Any, message: str) -> None:
    assert refused(changed(path, value)) == f"the model's {message}"


class TestFiles:
    """What is read out of an exported model."""

    def test_the_contract(self, model_file: Path, contract: Contract) -> None:
        assert read_contract(model_file) == contract

    def test_any_extra_file(self, tmp_path: Path) -> None:
        file = tmp_path / "age.pt"
        model = torch.jit.script(torch.nn.Identity())
        torch.jit.save(model, str(file), _extra_files={"one": b"\x00\xff", "other": "text"})
        assert read_extra(file, "one") == b"\x00\xff"
        assert read_extra(file, "other") == b"text"
        assert read_extra(file, "ther") is None

    def test_refuses_a_truncated_file(self, model_file: Path, tmp_path: Path) -> None:
        half = tmp_path / "half.pt"
        half.write_bytes(model_file.read_bytes()[:1000])
        with pytest.raises(ContractError, match=r"half\.pt is no exported model"):
            read_contract(half)

    @pytest.mark.parametrize(
        ("kind", "cut"), [(zipfile.ZIP_LZMA, 0), (zipfile.ZIP_LZMA, 9), (zipfile.ZIP_DEFLATED, 9)]
    )
    def test_refuses_a_file_whose_contract_cannot_be_unpacked(
        self, kind: int, cut: int, tmp_path: Path
    ) -> None:
        file = tmp_path / "age.pt"
        with zipfile.ZipFile(file, "w", kind) as archive:
            archive.writestr(f"age/extra/{EXTRA_FILE}", FULL.to_json())
        content = bytearray(file.read_bytes())
        begin = 30 + len(f"age/extra/{EXTRA_FILE}") + 9
        content[begin + cut : begin + cut + 200] = bytes(200)
        file.write_bytes(content)
        with pytest.raises(ContractError) as caught:
            read_contract(file)
        (line,) = str(caught.value).splitlines()
        assert line.startswith(f"{file} is no exported model: ")

    def test_refuses_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ContractError) as caught:
            read_contract(tmp_path / "age.pt")
        assert str(caught.value) == f"{tmp_path}/age.pt is no file: make it with {EXPORT}"

    @pytest.mark.parametrize(
        ("beside", "asked", "made"),
        [
            ("age.safetensors", "age.pt", "age.pt"),
            ("mine.safetensors", "mine.pt", "mine.pt"),
            ("age.safetensors", "age-1.pt", "age-1.pt"),
            ("age.safetensors", "age.safetensors", "age.pt"),  # weights are no model yet
        ],
    )
    def test_says_how_a_missing_file_is_made_of_weights(
        self, beside: str, asked: str, made: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "my model"
        folder.mkdir()
        (folder / beside).write_bytes(b"weights")
        with pytest.raises(ContractError) as caught:
            read_contract(folder / asked)
        _, _, command = str(caught.value).partition(" with python ")
        assert shlex.split(command) == [
            *("-m", "train.torchscript", "--weights", str(folder / beside)),
            *("--output", str(folder / made)),
        ]

    def test_refuses_a_model_without_contract(self, tmp_path: Path) -> None:
        bare = tmp_path / "bare.pt"
        torch.jit.save(torch.jit.script(torch.nn.Identity()), str(bare))
        with pytest.raises(ContractError, match=r"bare\.pt has no contract\.json"):
            read_contract(bare)

    def test_names_the_file_whose_contract_is_refused(self, tmp_path: Path) -> None:
        newer = tmp_path / "newer.pt"
        model = torch.jit.script(torch.nn.Identity())
        torch.jit.save(model, str(newer), _extra_files={EXTRA_FILE: '{"schema": 99}'})
        with pytest.raises(ContractError, match=r"newer\.pt: the model's contract has schema 99"):
            read_contract(newer)
