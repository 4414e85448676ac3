"""TorchServe's environment variables: none may silently override its configuration."""

import codecs
import locale
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from server.errors import CommandError

# These replace what is checked before the start, or come after the options of `vmargs`.
# TorchServe and Java do so silently, or with a line in a log.
REFUSED_VARIABLES = {
    "TS_CONFIG_FILE": "give another configuration by python -m server.supervisor --config FILE",
    "TS_LOAD_MODELS": "name models by --models NAME=ARCHIVE",
    "TS_MODEL_STORE": "name another folder by python -m server.supervisor --model-store",
    "TS_MODEL_SERVER_HOME": "the installed TorchServe is used",
    **dict.fromkeys(
        ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"),
        "Java's options are the line vmargs of config.properties",
    ),
}
LOGGING = "LOG4J"  # prefix, in any case
# Keys that protect, or decide what runs. They may be changed only in the configuration file.
PROTECTED_KEYS = (
    "allowed_urls",
    "default_service_handler",
    "disable_token_authorization",
    "enable_model_api",
    "install_py_dep_per_model",
    "service_envelope",
    "workflow_store",
)
UTF_8 = "C.UTF-8"  # built into glibc and musl


def check_environment(environ: Mapping[str, str], properties: Mapping[str, str]) -> None:
    """Raise CommandError if a variable overrides a protected key of `properties`."""
    for name in sorted(environ):
        if name in REFUSED_VARIABLES:
            raise CommandError(
                f"{name} is set in the environment: unset it; {REFUSED_VARIABLES[name]}"
            )
        if name.upper().startswith(LOGGING):
            raise CommandError(
                f"{name} is set in the environment: unset it; log4j2.xml keeps photos out of "
                "the logs"
            )
    for key in PROTECTED_KEYS:
        name = f"TS_{key.upper()}"
        if name in environ and environ[name] != properties.get(key):
            raise CommandError(
                f"{name} is set in the environment: unset it; {key} is changed in a configuration "
                "alone (python -m server.supervisor --config FILE)"
            )


def with_encodable_paths(environ: Mapping[str, str], paths: Iterable[Path]) -> dict[str, str]:
    """`environ`, with a locale in which Java can encode `paths`.

    Java encodes file names in the locale's encoding. If that is ASCII (LC_ALL=C, or a locale that
    is not installed), it finds no file with other letters. Raises CommandError if no locale works.
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
            raise CommandError(
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
