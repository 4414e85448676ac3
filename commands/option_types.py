"""What options of a command line may be, as types for argparse."""

import argparse
import math
from collections.abc import Callable

from face_age_client.address import Address


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number of `least` or more, up to `most` where that is given."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text} is not {_told('whole number', least, most)}")
        return number

    return read


def real(least: float, most: float | None = None, *, above: bool = False) -> Callable[[str], float]:
    """A number of `least` or more, or `above` it, up to `most` where that is given."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        low = number > least if above else number >= least
        if not (low and math.isfinite(number)) or (most is not None and number > most):
            words = _told("number", least, most, above=above)
            raise argparse.ArgumentTypeError(f"{text} is not {words}")
        return number

    return read


def rest_url(text: str) -> str:
    """Where a service answers over REST, without a slash at its end."""
    try:
        return Address.rest(text).url
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def grpc_address(text: str) -> str:
    """Where a service answers over gRPC."""
    try:
        Address.grpc(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _told(kind: str, least: float, most: float | None, *, above: bool = False) -> str:
    if most is not None:
        return f"a {kind} from {least:g} to {most:g}"
    return f"a {kind} above {least:g}" if above else f"a {kind} of {least:g} or more"
