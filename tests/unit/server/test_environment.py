"""server/environment.py: what may not be set in TorchServe's environment, and file names."""

import locale
from pathlib import Path

import pytest

from server import readiness
from server.environment import PROTECTED_KEYS, check_environment, with_encodable_paths
from server.errors import CommandError

SHIPPED = readiness.read_properties(readiness.ROOT / "config.properties")


@pytest.mark.parametrize(
    "name",
    [
        *("TS_CONFIG_FILE", "TS_LOAD_MODELS", "TS_MODEL_STORE", "TS_MODEL_SERVER_HOME"),
        *("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"),
        *("LOG4J_CONFIGURATION_FILE", "log4j2.configurationFile", "LOG4J2_FORMAT_MSG"),
        *(f"TS_{key.upper()}" for key in PROTECTED_KEYS),
    ],
)
@pytest.mark.parametrize("value", ["", "another"])
def test_what_undoes_a_protection_is_refused(name: str, value: str) -> None:
    with pytest.raises(CommandError) as refused:
        check_environment({name: value}, SHIPPED)
    assert str(refused.value).startswith(f"{name} is set in the environment: unset it; ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        *("TS_INFERENCE_ADDRESS", "TS_MANAGEMENT_ADDRESS", "TS_METRICS_ADDRESS"),
        *("TS_GRPC_INFERENCE_ADDRESS", "TS_GRPC_INFERENCE_PORT", "TS_GRPC_MANAGEMENT_PORT"),
        *("TS_DEFAULT_WORKERS_PER_MODEL", "TS_MAX_REQUEST_SIZE", "TS_JOB_QUEUE_SIZE"),
        *("TS_CORS_ALLOWED_ORIGIN", "TS_OPEN_INFERENCE_PROTOCOL", "JAVA_HOME"),
    ],
)
def test_what_only_tunes_is_allowed(name: str) -> None:
    check_environment({name: "1"}, SHIPPED)


def test_what_the_configuration_says_too_is_allowed() -> None:
    check_environment({"TS_ENABLE_MODEL_API": "false"}, SHIPPED)
    check_environment({"TS_ENABLE_MODEL_API": "true"}, {"enable_model_api": "true"})


class TestNames:
    ASCII, OTHER = Path("/tmp/a"), Path("/tmp/ä")

    def test_a_locale_without_them_is_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LC_ALL=C, or one that is not installed."""
        monkeypatch.setattr(locale, "getencoding", lambda: "ANSI_X3.4-1968")
        environ = {"LC_ALL": "C", "X": "1"}
        assert with_encodable_paths(environ, [self.OTHER]) == {"LC_ALL": "C.UTF-8", "X": "1"}

    def test_another_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locale, "getencoding", lambda: "UTF-8")
        assert with_encodable_paths({"LANG": "x"}, [self.OTHER]) == {"LANG": "x"}

    @pytest.mark.parametrize("encoding", ["utf-8", "ANSI_X3.4-1968"])
    def test_bytes_that_are_no_letters(
        self, encoding: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locale, "getencoding", lambda: encoding)
        with pytest.raises(CommandError) as refused:
            with_encodable_paths({}, [self.ASCII, Path("/tmp/\udce4")])
        assert str(refused.value) == (
            "Java cannot name /tmp/\\udce4 in the locale's encoding, utf-8: "
            "move it to a path of ASCII letters, or set LC_ALL to an installed UTF-8 locale "
            "(locale -a)"
        )

    def test_no_utf_8_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(_category: int, name: str | None = None) -> str:
            if name is not None:
                raise locale.Error
            return "C"

        monkeypatch.setattr(locale, "getencoding", lambda: "ANSI_X3.4-1968")
        monkeypatch.setattr(locale, "setlocale", none)
        assert with_encodable_paths({"LC_ALL": "C"}, [self.ASCII]) == {"LC_ALL": "C"}
        with pytest.raises(CommandError, match=r"^Java cannot name /tmp/.* in the locale's"):
            with_encodable_paths({}, [self.OTHER])
