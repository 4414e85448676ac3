"""Terms of use of data sets, which also apply to weights trained on them."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # train.faceres has terms, and runs without OmegaConf
    from omegaconf import DictConfig

# Strictest first. own: the user's own data, without stated terms.
Use = Literal["non-commercial", "unknown", "own", "licence"]

_NON_COMMERCIAL = re.compile(
    r"non-?\s?commercial|\bnc\b|research (use )?only|for ((academic|scientific) )?research",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Terms:
    """Terms as text, and the permitted use."""

    words: str  # empty if not stated
    use: Use

    @classmethod
    def stated(cls, words: str) -> "Terms":
        """Parse stated terms; wording like "research only" means non-commercial."""
        plain = " ".join(words.split())
        if plain.lower() == "unknown":
            return UNKNOWN
        return cls(plain, "non-commercial" if _NON_COMMERCIAL.search(plain) else "licence")


UNKNOWN = Terms("", "unknown")
OWN = Terms("", "own")


@dataclass(frozen=True)
class DataSet:
    """A data set of labelled images."""

    name: str  # as in `data.sources`
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
    """The data set with that name; `stated` gives the terms if it is not in KNOWN."""
    known = KNOWN.get(name.lower().replace("-", "_"))  # other spellings of its name
    if known is not None:
        return replace(known, name=name)
    return DataSet(name, name, Terms.stated(stated) if stated else OWN)


def data_sets(config: "DictConfig") -> tuple[DataSet, ...]:
    """The data sets of `data.sources`, with the terms of `data.terms`."""
    stated = config.data.get("terms") or {}
    return tuple(
        data_set(str(name), None if (words := stated.get(name)) is None else str(words))
        for name in config.data.sources
    )
