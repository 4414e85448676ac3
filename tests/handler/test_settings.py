from typing import Any

import pytest

from handler.settings import Settings, SettingsError


def test_defaults() -> None:
    settings = Settings.from_mapping(None)
    assert settings == Settings.from_mapping({}) == Settings()
    assert (settings.max_pixels, settings.min_face_size) == (50_000_000, 20)
    assert (settings.max_side, settings.threads) == (1280, 0)


def test_each_can_be_set() -> None:
    values = {"max_pixels": 1, "min_face_size": 40, "max_side": 640, "threads": 2}
    assert Settings.from_mapping(values) == Settings(1, 40, 640, 2)


def test_unknown_key() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"max_pixel": 5})
    assert str(caught.value) == (
        "model-config.yaml: handler has an unknown key 'max_pixel'; "
        "known are max_pixels, min_face_size, max_side, threads"
    )


@pytest.mark.parametrize("value", ["5", 5.0, True, None, [5], 0, -1])
def test_wrong_value(value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"max_pixels": value})
    assert str(caught.value) == (
        f"model-config.yaml: handler.max_pixels must be a whole number of at least 1, not {value!r}"
    )


@pytest.mark.parametrize(
    ("key", "low"), [("max_pixels", 1), ("min_face_size", 12), ("max_side", 64), ("threads", 0)]
)
def test_lowest_values(key: str, low: int) -> None:
    assert getattr(Settings.from_mapping({key: low}), key) == low
    with pytest.raises(SettingsError, match=f"{key} must be a whole number of at least {low}"):
        Settings.from_mapping({key: low - 1})


@pytest.mark.parametrize("value", [[], "max_pixels", 5, ["max_pixels"]])
def test_other_than_a_mapping(value: Any) -> None:
    with pytest.raises(SettingsError, match="handler must hold keys, not"):
        Settings.from_mapping(value)
