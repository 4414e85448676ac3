"""Options of a request: their names, values and defaults."""

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Protocol

from handler.accept import PICTURES
from handler.errors import InvalidOption


@dataclass(frozen=True)
class Options:
    """Options of a request."""

    min_confidence: float = 0.9  # faces below it are dropped
    max_faces: int = 300  # the largest are kept
    attributes: tuple[str, ...] = ()  # names of tasks; none: all of the archive
    top_k: int = 5  # scores of a category's answer
    distribution: bool = False  # whether to give the distribution of a number such as the age
    quality: bool = False  # whether to give the quality of each face's crop
    relative: bool = False  # whether to give boxes in fractions of width and height, too
    rotate: str = ""  # "auto": look for faces in the turned image, too, where it may be turned
    annotate: str = ""  # a picture of that format in place of JSON; a key of PICTURES, or none


class _Kind(Protocol):
    """The values of an option; its text says which they are."""

    def parsed(self, text: str) -> object:
        """The value in a header or a part; anything else is given back for `typed` to refuse."""

    def typed(self, value: object) -> object:
        """A value of JSON as the option's; raises ValueError if it is none."""

    @property
    def schema(self) -> dict[str, object]:
        """The JSON schema of a typed value."""


@dataclass(frozen=True)
class _Range:
    low: int
    high: int
    whole: bool

    @property
    def schema(self) -> dict[str, object]:
        kind = "integer" if self.whole else "number"
        return {"type": kind, "minimum": self.low, "maximum": self.high}

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low} to {self.high}"

    def parsed(self, text: str) -> object:
        match = _NUMBER.fullmatch(text)
        if match is None:
            return text
        return float(match[0]) if match[1] or match[2] else int(match[0])

    def typed(self, value: object) -> object:
        # by exact type, as bool is a subclass of int; NaN is in no range
        if type(value) not in ((int,) if self.whole else (int, float)) or not (
            self.low <= value <= self.high  # type: ignore[operator]
        ):
            raise ValueError
        return value


@dataclass(frozen=True)
class _Flag:
    @property
    def schema(self) -> dict[str, object]:
        return {"type": "boolean"}

    def __str__(self) -> str:
        return "true or false"

    def parsed(self, text: str) -> object:
        return {"true": True, "false": False}.get(text.strip().lower(), text)

    def typed(self, value: object) -> object:
        if type(value) is not bool:
            raise ValueError
        return value


@dataclass(frozen=True)
class _Names:
    known: tuple[str, ...]

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "string", "pattern": "^[^,]+(,[^,]+)*$"}

    def __str__(self) -> str:
        return f"one or more of {', '.join(self.known) or 'none'}, with commas between them"

    def parsed(self, text: str) -> object:
        return text

    def typed(self, value: object) -> object:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list) or not names:
            raise ValueError
        if not all(isinstance(name, str) and name.strip() in self.known for name in names):
            raise ValueError
        chosen = {name.strip() for name in names}
        return tuple(name for name in self.known if name in chosen)


@dataclass(frozen=True)
class _Choice:
    known: tuple[str, ...]

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "string", "enum": [*self.known]}

    def __str__(self) -> str:
        return " or ".join(self.known)

    def parsed(self, text: str) -> object:
        return text.strip().lower()

    def typed(self, value: object) -> object:
        if value not in self.known:
            raise ValueError
        return value


# Options are JSON numbers in headers and parts too; Python's float() and int() also take "nan",
# "1_0" and the digits of every script. 40 characters are enough for any sensible number.
_NUMBER: Final = re.compile(r"(?=.{1,40}\Z)-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FACES: Final = _Range(1, 1000, whole=True)
_KINDS: Final[Mapping[str, _Kind]] = {
    "min_confidence": _Range(0, 1, whole=False),
    "max_faces": _FACES,
    "attributes": _Names(()),
    "top_k": _Range(1, 1000, whole=True),
    "distribution": _Flag(),
    "quality": _Flag(),
    "relative": _Flag(),
    "rotate": _Choice(("auto",)),
    "annotate": _Choice(tuple(PICTURES)),
}
NAMES: Final = tuple(field.name for field in fields(Options))
HEADERS: Final = {"x-" + name.replace("_", "-"): name for name in NAMES}
# Maximum of max_faces that a proxy sets; not an option, as clients cannot set it behind the proxy.
_MOST_FACES: Final = "x-most-faces"
# Headers that look like a misspelled option, which is refused. Other headers are ignored: proxies,
# tracing and browsers add some to every request. deploy/nginx/requests.js has the same pattern.
LIKE_AN_OPTION: Final = re.compile(
    r"(x[-_])?((min|mim|max|minimum|maximum|num|number|of|count|score|limit|face|detection)[-_]?)*"
    r"(faces|c(?=[a-z]{0,9}f)(?=[a-z]{0,9}n)[onfideac]{3,11})"
    r"([-_]?(min|max|minimum|maximum|num|number|count|score|threshold|limit|size))*"
    r"|(x[-_])?(min|max)(imum)?[-_]?((num|number|of)[-_])*(fac|f[aces]{4}|conf(?!ig)).*"
    r"|x[-_](min|max)(imum)?[-_]?(detect|score|prob|thresh|result|people|person|count|num).*"
    r"|x[-_](at{1,2}r[a-z]{0,9}|top[-_]?[kn]|distrib[a-z]{0,9}|relativ[a-z]{0,3}([-_]?box(es)?)?"
    r"|qual{1,2}it[a-z]{0,4}|an{1,2}ot[a-z]{0,9}|(auto[-_]?)?rot{1,2}at[a-z]{0,4})"
)


def schemas() -> dict[str, dict[str, object]]:
    """The JSON schema of each option, with its default where it has one."""
    defaults = {field.name: field.default for field in fields(Options)}
    return {
        name: kind.schema | ({"default": defaults[name]} if defaults[name] else {})
        for name, kind in _KINDS.items()
    }


def of_headers(headers: Mapping[str, str]) -> dict[str, object]:
    """The options in headers, whose names are in lower case, not yet checked.

    Raises InvalidOption for a header that looks like a misspelled option.
    """
    for header in headers.keys() - HEADERS.keys():
        if LIKE_AN_OPTION.fullmatch(header):
            known = ", ".join(name.title() for name in HEADERS)
            raise InvalidOption(f"there is no option {_shown(header)}; known headers are {known}")
    return of_parts({HEADERS[name]: text for name, text in headers.items() if name in HEADERS})


def of_parts(parts: Mapping[str, object]) -> dict[str, object]:
    """The options in the parts of a form or of a gRPC map, not yet checked."""
    return {name: _parsed(name, value) for name, value in parts.items()}


def _parsed(name: str, value: object) -> object:
    if isinstance(value, bytes | bytearray):
        value = value.decode("ascii", "backslashreplace")
    return _KINDS[name].parsed(value) if isinstance(value, str) and name in _KINDS else value


def checked(
    values: Mapping[str, object], headers: Mapping[str, str], tasks: Sequence[str]
) -> Options:
    """The options with these values; `tasks` are the attributes to choose from.

    A proxy's header X-Most-Faces lowers the maximum and the default of `max_faces`.

    Raises InvalidOption for an unknown name and for a value out of its range.
    """
    given = _FACES.parsed(headers.get(_MOST_FACES, ""))
    most = given if type(given) is int and 1 <= given <= _FACES.high else _FACES.high
    kinds = {
        **_KINDS,
        "max_faces": replace(_FACES, high=most),
        "attributes": _Names(tuple(tasks)),
    }
    options: dict[str, object] = {"max_faces": min(Options.max_faces, most)}
    for name, value in values.items():
        if name not in kinds:
            known = ", ".join(("data", *kinds))
            raise InvalidOption(f"there is no option {_shown(name)}; known are {known}")
        try:
            options[name] = kinds[name].typed(value)
        except ValueError:
            raise InvalidOption(f"{name} must be {kinds[name]}, not {_shown(value)}") from None
    return Options(**options)  # type: ignore[arg-type]


def _shown(value: object) -> str:
    """A client's value for a message, shortened."""
    return reprlib.repr(value)
