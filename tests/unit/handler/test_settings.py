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
    assert (settings.step_timeout, settings.queue_timeout) == (10, 55)
    assert (settings.decoder, settings.explained_faces) == ("cpu", 5)
    assert settings.log_requests is True


def test_each_can_be_set() -> None:
    values = {
        "max_pixels": 1,
        "max_images": 4,
        "min_face_size": 20,
        "max_side": 640,
        "threads": 2,
        "step_timeout": 5,
        "queue_timeout": 7,
        "precision": "float32",
        "decoder": "gpu",
        "explained_faces": 3,
        "log_requests": False,
    }
    assert Settings.from_mapping(values) == Settings(
        1, 4, 20, 640, 2, 5, 7, "float32", "gpu", 3, False
    )
    assert vars(Settings()).keys() == values.keys()


def test_the_shipped_file_has_the_defaults() -> None:
    shipped = yaml.safe_load((ROOT / "model_store" / "model-config.yaml").read_text())
    assert shipped["handler"] == vars(Settings())


def test_unknown_key() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"max_pixel": 5})
    assert str(caught.value) == (
        "model-config.yaml: handler has an unknown key 'max_pixel'; "
        "known are max_pixels, max_images, min_face_size, max_side, threads, step_timeout, "
        "queue_timeout, explained_faces, precision, decoder, log_requests"
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
        ("step_timeout", 0),
        ("queue_timeout", 0),
        ("explained_faces", 0),
    ],
)
def test_lowest_values(key: str, low: int) -> None:
    assert getattr(Settings.from_mapping({key: low}), key) == low
    with pytest.raises(SettingsError, match=f"{key} must be a whole number of at least {low}"):
        Settings.from_mapping({key: low - 1})


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16", "float16", "int8"])
def test_precisions(precision: str) -> None:
    assert Settings.from_mapping({"precision": precision}).precision == precision


@pytest.mark.parametrize("value", ["float8", "Float32", "", 32, None, True, ["auto"], {}])
def test_another_precision(value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"precision": value})
    assert str(caught.value) == (
        "model-config.yaml: handler.precision must be one of "
        f"auto, float32, bfloat16, float16, int8, not {value!r}"
    )


@pytest.mark.parametrize("value", [1, 0, "true", None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"log_requests": value})
    assert str(caught.value) == (
        f"model-config.yaml: handler.log_requests must be true or false, not {value!r}"
    )


@pytest.mark.parametrize("value", [[], "max_pixels", 5, ["max_pixels"]])
def test_other_than_a_mapping(value: Any) -> None:
    with pytest.raises(SettingsError, match="handler must hold keys, not"):
        Settings.from_mapping(value)


@pytest.mark.parametrize(
    ("old", "new"), [("longest_step", "step_timeout"), ("longest_wait", "queue_timeout")]
)
class TestAlias:
    def test_works_with_one_warning(
        self, old: str, new: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert Settings.from_mapping({old: 7}) == Settings.from_mapping({new: 7})
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", f"model-config.yaml: handler.{old} is deprecated; use handler.{new}")
        ]

    @pytest.mark.parametrize("reverse", [False, True])
    def test_with_the_new_name(self, old: str, new: str, reverse: bool) -> None:
        values = {new: 7, old: 7} if reverse else {old: 7, new: 7}
        with pytest.raises(SettingsError) as caught:
            Settings.from_mapping(values)
        assert str(caught.value) == (
            f"model-config.yaml: handler.{old} is now named {new!r}; give {new!r} alone"
        )

    def test_wrong_value(self, old: str, new: str) -> None:
        del new
        with pytest.raises(SettingsError) as caught:
            Settings.from_mapping({old: -1})
        assert str(caught.value) == (
            f"model-config.yaml: handler.{old} must be a whole number of at least 0, not -1"
        )


def test_the_new_names_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    Settings.from_mapping({"step_timeout": 7, "queue_timeout": 7})
    assert not caplog.records
