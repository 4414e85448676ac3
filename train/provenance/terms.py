"""What may be done with data sets and with what was learned from them."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # what is fetched has terms too, and needs no configuration
    from omegaconf import DictConfig

# The strictest first. own: whoever trained did not say, and the data is theirs.
Use = Literal["non-commercial", "unknown", "own", "licence"]

_NON_COMMERCIAL = re.compile(
    r"non-?\s?commercial|\bnc\b|research (use )?only|for ((academic|scientific) )?research",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Terms:
    """In words, and what they come to."""

    words: str  # empty where nobody stated them
    use: Use

    @classmethod
    def stated(cls, words: str) -> "Terms":
        """What somebody wrote; research alone, or no commerce, is taken for what it says."""
        plain = " ".join(words.split())
        return cls(plain, "non-commercial" if _NON_COMMERCIAL.search(plain) else "licence")


UNKNOWN = Terms("", "unknown")
OWN = Terms("", "own")


@dataclass(frozen=True)
class DataSet:
    """Labelled pictures that a network learned from."""

    name: str  # as `data.sources` has it
    title: str
    terms: Terms


KNOWN = {
    known.name: known
    for known in (
        DataSet(
            "utkface",
            "UTKFace",
            Terms.stated(
                "aligned and cropped; non-commercial research use only; the copyright of the "
                "images remains with their owners"
            ),
        ),
        DataSet(
            "utkface_wild",
            "UTKFace",
            Terms.stated(
                "in the wild; non-commercial research use only; the copyright of the images "
                "remains with their owners"
            ),
        ),
        DataSet(
            "facial_age",
            "UTKFace",
            Terms.stated(
                "as Kaggle's facial-age has it; non-commercial research use only; the copyright "
                "of the images remains with their owners"
            ),
        ),
        DataSet("appa_real", "APPA-REAL", Terms.stated("offered for research by its makers")),
    )
}


def data_set(name: str, stated: str | None = None) -> DataSet:
    """The one of that name; `stated` are the terms of one that is not known here."""
    known = KNOWN.get(name.lower().replace("-", "_"))  # as somebody may call it in a table's name
    if known is not None:
        return replace(known, name=name)
    return DataSet(name, name, Terms.stated(stated) if stated else OWN)


def data_sets(config: "DictConfig") -> tuple[DataSet, ...]:
    """Those of `data.sources`, with what `data.terms` states of them."""
    stated = config.data.get("terms") or {}
    return tuple(
        data_set(str(name), None if (words := stated.get(name)) is None else str(words))
        for name in config.data.sources
    )
