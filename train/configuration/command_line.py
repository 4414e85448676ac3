"""The entry point of training commands: overrides, a validated configuration, one-line errors.

An error that the user can fix ends a command with `error: ...` and exit code 1, or 2 if it is in
the command line itself. Any other error is a bug of ours and keeps its traceback; with
HYDRA_FULL_ERROR=1, every error does.
"""

import functools
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import GrammarParseError, InterpolationKeyError, OmegaConfBaseException
from yaml import YAMLError

from handler.errors import Failure
from train.configuration.aliases import rename_keys, rename_override
from train.configuration.checks import ConfigError, suggestion, validated
from train.configuration.overrides import quoted
from train.configuration.settings import CONFIG
from train.files import error_text, printable

T = TypeVar("T")
_EXPECTED = (
    HydraException,
    OmegaConfBaseException,
    YAMLError,
    Failure,
    ModuleNotFoundError,
    OSError,
    ValueError,
)
_COMMAND_LINE = (HydraException, ConfigError, InterpolationKeyError, GrammarParseError)
_FULL = "HYDRA_FULL_ERROR"
_INTERRUPTED = 130  # a shell's exit code for SIGINT


def command(function: Callable[[DictConfig], T]) -> Callable[[], None]:
    """Makes `function` a command that takes `config/config.yaml` and overrides from `sys.argv`."""

    @functools.wraps(function)
    def main() -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # names that are not UTF-8
        full = os.environ.get(_FULL) == "1"
        _rewrite_overrides()
        try:
            # Hydra then raises errors, which are reported here
            with env_override({_FULL: "1"}):
                hydra.main(**CONFIG)(_job(function, full))()
        except _EXPECTED as error:
            if full:
                raise
            raise SystemExit(_report(error)) from error
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
        except SystemExit as stopped:
            if isinstance(stopped.__context__, KeyboardInterrupt):  # raised by Lightning
                raise SystemExit(_INTERRUPTED) from None
            raise

    return main


def _job(function: Callable[[DictConfig], T], full: bool) -> Callable[[DictConfig], T]:
    """The function that Hydra calls: once, or under --multirun once per run."""

    @functools.wraps(function)
    def job(config: DictConfig) -> T:
        with env_override({_FULL: str(int(full))}):  # restored for child processes
            try:
                overrides = HydraConfig.get().overrides.task
                return function(validated(rename_keys(config, "train/config", overrides)))
            except _EXPECTED as error:
                # a sweep continues with its other runs, and fails at its end
                if full or HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise
                raise SystemExit(_report(error)) from error

    return job


def _rewrite_overrides() -> None:
    """Replace the overrides in `sys.argv` by ones with current keys, in Hydra's grammar."""
    given = get_args_parser().parse_args()
    sweeping = given.multirun or "hydra.mode=MULTIRUN" in given.overrides
    new = {override: quoted(rename_override(override), sweeping) for override in given.overrides}
    sys.argv[1:] = [new.get(word, word) for word in sys.argv[1:]]


def _report(error: Exception) -> int:
    """Print the error in one line, and return the exit code."""
    print(f"error: {message(error)}", file=sys.stderr)
    return 2 if isinstance(error, _COMMAND_LINE) else 1


def message(error: BaseException) -> str:
    """An error and its fix in one line."""
    text = error_text(error)
    if isinstance(error, OverrideParseException):
        text = _unparsable(error.override)
    elif isinstance(error, MissingConfigException) and error.missing_cfg_file:
        others = f"; it has {', '.join(error.options)}" if error.options else ""
        text = f"train/config has no {error.missing_cfg_file}{others}"
    elif found := re.match(r"Could not override '(.+?)'", text):
        group = Path(CONFIG["config_path"], found[1]).is_dir()
        near = f"; +{found[1]}=... adds one" if group else suggestion(found[1])
        text = f"{found[1]}: unknown key{near}"
    elif found := re.match(r"Ambiguous value for argument '(.+)'", text):
        key, _, value = found[1].partition("=")
        text = f"{found[1]}: write '{key}=[{value}]' for a list, or --multirun for one run each"
    elif isinstance(error, UnicodeEncodeError):
        text = f"{error.object}: its name is not UTF-8, which is required here: rename it"
    elif isinstance(error, InterpolationKeyError):
        text = f"{text.splitlines()[0]}; write \\${{ for a literal ${{"
    elif isinstance(error, GrammarParseError):
        text = f"{text.splitlines()[0]}: run= contains a ${{ that begins no valid interpolation"
    elif error.__cause__ is not None and isinstance(error, HydraException):
        text += f" ({message(error.__cause__)})"
    return re.sub(r"\s*\n\s*", " ", printable(text)).strip()


def _unparsable(override: str) -> str:
    key, equals, _ = override.partition("=")
    if not equals:
        return f"{key}: key=value is expected"
    if not re.fullmatch(r"(~|\+{0,2})[\w.$@/-]+", key, re.ASCII):
        return f"{key}: a key consists of letters a to z, digits, _ and -, separated by points"
    return (
        f"{key}: its value cannot be parsed; put each text within it in quotes, as in "
        """'fit.teachers=["a,b.ckpt",c.ckpt]'"""
    )
