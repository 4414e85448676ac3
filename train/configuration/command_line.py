"""How the commands of the training half meet their user: overrides as they are typed, a
configuration that was checked, and errors in one line.

What a user can mend ends a command with `error: ...` and exit code 1, or 2 where it is the command
line itself. Anything else is a fault of ours and keeps its traceback; with HYDRA_FULL_ERROR=1, all
do.
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
from train.configuration.checks import ConfigError, checked, nearest
from train.configuration.overrides import quoted
from train.configuration.settings import CONFIG
from train.files import readable, why

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
_INTERRUPTED = 130  # as a shell tells SIGINT


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
            # Hydra lets errors through then, which are told here
            with env_override({_FULL: "1"}):
                hydra.main(**CONFIG)(_job(function, full))()
        except _EXPECTED as error:
            if full:
                raise
            raise SystemExit(_report(error)) from error
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
        except SystemExit as stopped:
            if isinstance(stopped.__context__, KeyboardInterrupt):  # Lightning's way to stop
                raise SystemExit(_INTERRUPTED) from None
            raise

    return main


def _job(function: Callable[[DictConfig], T], full: bool) -> Callable[[DictConfig], T]:
    """What Hydra runs, once or, under --multirun, again and again."""

    @functools.wraps(function)
    def job(config: DictConfig) -> T:
        with env_override({_FULL: str(int(full))}):  # as it was, for processes that are started
            try:
                overrides = HydraConfig.get().overrides.task
                return function(checked(rename_keys(config, "train/config", overrides)))
            except _EXPECTED as error:
                # a sweep goes on with its other runs, and fails at its end
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
    """Tell what is wrong in a line, and give the exit code."""
    print(f"error: {message(error)}", file=sys.stderr)
    return 2 if isinstance(error, _COMMAND_LINE) else 1


def message(error: BaseException) -> str:
    """What is wrong and what to do, in one line."""
    text = why(error)
    if isinstance(error, OverrideParseException):
        text = _not_understood(error.override)
    elif isinstance(error, MissingConfigException) and error.missing_cfg_file:
        others = f"; there are {', '.join(error.options)}" if error.options else ""
        text = f"{error.missing_cfg_file} is none of train/config's{others}"
    elif found := re.match(r"Could not override '(.+?)'", text):
        group = Path(CONFIG["config_path"], found[1]).is_dir()
        near = f"; +{found[1]}=... adds one" if group else nearest(found[1])
        text = f"{found[1]}: there is no such key{near}"
    elif found := re.match(r"Ambiguous value for argument '(.+)'", text):
        key, _, value = found[1].partition("=")
        text = f"{found[1]}: of several, '{key}=[{value}]' takes all, and --multirun one by one"
    elif isinstance(error, UnicodeEncodeError):
        text = f"{error.object}: its name is not UTF-8, which is needed here: give it another one"
    elif isinstance(error, InterpolationKeyError):
        text = f"{text.splitlines()[0]}; \\${{ stands for the letters themselves"
    elif isinstance(error, GrammarParseError):
        text = f"{text.splitlines()[0]}: what ${{ begins is no interpolation, and run= has it"
    elif error.__cause__ is not None and isinstance(error, HydraException):
        text += f" ({message(error.__cause__)})"
    return re.sub(r"\s*\n\s*", " ", readable(text)).strip()


def _not_understood(override: str) -> str:
    key, equals, _ = override.partition("=")
    if not equals:
        return f"{key}: key=value is wanted"
    if not re.fullmatch(r"(~|\+{0,2})[\w.$@/-]+", key, re.ASCII):
        return f"{key}: a key is made of letters from a to z, digits, _ and -, parted by points"
    return (
        f"{key}: its value cannot be read; a text within it goes in quotes of its own, as in "
        """'fit.teachers=["a,b.ckpt",c.ckpt]'"""
    )
