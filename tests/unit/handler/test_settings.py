from pathlib import Path
from typing import Any

import pytest
import yaml

from handler.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[3]


def test_defaults() -> None:
    settings = Settings.from_mapping(None)
    assert settings == Settings.from_mapping({}) == Settings()
    assert (settings.max_pixels, settings.min_face_size) == (50_000_000, 40)
    assert (settings.max_side, settings.threads, settings.precision) == (1280, 0, "auto")
    assert (settings.longest_step, settings.longest_wait) == (10, 55)


def test_each_can_be_set() -> None:
    values = {
        "max_pixels": 1,
        "min_face_size": 20,
        "max_side": 640,
        "threads": 2,
        "longest_step": 5,
        "longest_wait": 7,
        "precision": "float32",
    }
    assert Settings.from_mapping(values) == Settings(1, 20, 640, 2, 5, 7, "float32")
    assert vars(Settings()).keys() == values.keys()


def test_the_shipped_file_says_the_defaults() -> None:
    shipped = yaml.safe_load((ROOT / "model_store" / "model-config.yaml").read_text())
    assert shipped["handler"] == vars(Settings())


def test_unknown_key() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"max_pixel": 5})
    assert str(caught.value) == (
        "model-config.yaml: handler has an unknown key 'max_pixel'; "
        "known are max_pixels, min_face_size, max_side, threads, longest_step, longest_wait, "
        "precision"
    )


@pytest.mark.parametrize("value", ["5", 5.0, True, None, [5], 0, -1])
def test_wrong_value(value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"max_pixels": value})
    assert str(caught.value) == (
        f"model-config.yaml: handler.max_pixels must be a whole number of at least 1, not {value!r}"
    )


@pytest.mark.parametrize(
    ("key", "low"),
    [
        ("max_pixels", 1),
        ("min_face_size", 12),
        ("max_side", 64),
        ("threads", 0),
        ("longest_step", 0),
        ("longest_wait", 0),
    ],
)
def test_lowest_values(key: str, low: int) -> None:
    assert getattr(Settings.from_mapping({key: low}), key) == low
    with pytest.raises(SettingsError, match=f"{key} must be a whole number of at least {low}"):
        Settings.from_mapping({key: low - 1})


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16", "int8"])
def test_precisions(precision: str) -> None:
    assert Settings.from_mapping({"precision": precision}).precision == precision


@pytest.mark.parametrize("value", ["float16", "Float32", "", 32, None, True, ["auto"], {}])
def test_another_precision(value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"precision": value})
    assert str(caught.value) == (
        "model-config.yaml: handler.precision must be one of auto, float32, bfloat16, int8, "
        f"not {value!r}"
    )


@pytest.mark.parametrize("value", [[], "max_pixels", 5, ["max_pixels"]])
def test_other_than_a_mapping(value: Any) -> None:
    with pytest.raises(SettingsError, match="handler must hold keys, not"):
        Settings.from_mapping(value)
