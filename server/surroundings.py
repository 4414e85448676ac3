"""What TorchServe gets of the environment: nothing that would undo its configuration unseen."""

import codecs
import locale
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

# They would replace what is checked before the start, or come after the options of `vmargs`:
# TorchServe and Java say nothing of them, or a line in a log.
REPLACED = {
    "TS_CONFIG_FILE": "give another configuration by python -m server.supervisor --config FILE",
    "TS_LOAD_MODELS": "name models by --models NAME=ARCHIVE",
    "TS_MODEL_STORE": "name another folder by python -m server.supervisor --model-store",
    "TS_MODEL_SERVER_HOME": "the installed TorchServe is used",
    **dict.fromkeys(
        ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"),
        "Java's options are the line vmargs of config.properties",
    ),
}
LOGGING = "LOG4J"  # variables that begin so, however written
# Lines of the configuration that protect, or say what runs: they are changed where they are read.
PROTECTING = (
    "allowed_urls",
    "default_service_handler",
    "disable_token_authorization",
    "enable_model_api",
    "install_py_dep_per_model",
    "service_envelope",
    "workflow_store",
)
UTF_8 = "C.UTF-8"  # a locale that glibc has itself, as musl has


class SurroundingsError(Exception):
    """The environment cannot be served in; the message is a line for the operator."""


def checked(environ: Mapping[str, str], properties: Mapping[str, str]) -> None:
    """Raise SurroundingsError where a variable undoes what `properties`, the configuration, say."""
    for name in sorted(environ):
        if name in REPLACED:
            raise SurroundingsError(f"{name} is set in the environment: unset it; {REPLACED[name]}")
        if name.upper().startswith(LOGGING):
            raise SurroundingsError(
                f"{name} is set in the environment: unset it; log4j2.xml keeps photographs out of "
                "the logs"
            )
    for key in PROTECTING:
        name = f"TS_{key.upper()}"
        if name in environ and environ[name] != properties.get(key):
            raise SurroundingsError(
                f"{name} is set in the environment: unset it; {key} is changed in a configuration "
                "alone (python -m server.supervisor --config FILE)"
            )


def with_names(environ: Mapping[str, str], paths: Iterable[Path]) -> dict[str, str]:
    """An environment in which Java can name these paths.

    It takes file names in the locale's encoding, and where that is ASCII, as of LC_ALL=C or of a
    locale that is not installed, it finds none with other letters. Raises SurroundingsError where
    nothing helps.
    """
    encoding = locale.getencoding()
    found = dict(environ)
    if codecs.lookup(encoding).name == "ascii" and _has_utf_8():
        encoding = "utf-8"
        found["LC_ALL"] = UTF_8
    for path in map(os.path.abspath, paths):
        try:
            os.fsencode(path).decode(encoding)
        except UnicodeDecodeError as error:
            shown = path.encode("ascii", "backslashreplace").decode()
            raise SurroundingsError(
                f"Java cannot name {shown} in the locale's encoding, {encoding}: move it to a path "
                "of ASCII letters, or set LC_ALL to an installed UTF-8 locale (locale -a)"
            ) from error
    return found


def _has_utf_8() -> bool:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, UTF_8)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True
