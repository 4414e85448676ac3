"""Numbers as command-line options, for argparse."""

import argparse
import math
from collections.abc import Callable


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `least`, to `most` if given."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(
                f"{text} is not {_described('whole number', least, most)}"
            )
        return number

    return read


def real(least: float, most: float | None = None, *, above: bool = False) -> Callable[[str], float]:
    """A finite number from `least` (`above`: greater than it), to `most` if given."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        low = number > least if above else number >= least
        if not (low and math.isfinite(number)) or (most is not None and number > most):
            words = _described("number", least, most, above=above)
            raise argparse.ArgumentTypeError(f"{text} is not {words}")
        return number

    return read


def _described(kind: str, least: float, most: float | None, *, above: bool = False) -> str:
    if most is not None:
        return f"a {kind} from {least:g} to {most:g}"
    return f"a {kind} above {least:g}" if above else f"a {kind} of {least:g} or more"
