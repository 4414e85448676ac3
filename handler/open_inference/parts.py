"""What both versions of the protocol have in common: parameters, and the number of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handler.errors import InvalidOption, InvalidRequest
from handler.json_bodies import parse_base64, shown
from handler.options import Options, checked, of_headers
from handler.requests import Request


@dataclass(frozen=True)
class Limits:
    """What a request is checked against."""

    headers: Mapping[str, str]  # names in lower case
    tasks: Sequence[str]  # that `attributes` can choose from
    max_images: int
    explain: bool = False  # whether the answers are to be explained

    def request(self, image: bytes, options: Options) -> Request:
        """The request of one image."""
        return Request(image, options, self.explain)

    def check_images(self, count: int) -> None:
        """Raise InvalidRequest unless a request may have so many images."""
        if not 1 <= count <= self.max_images:
            raise InvalidRequest(
                f"the request has {count} images; send 1 to {self.max_images}"
                if count
                else "the request has no image"
            )

    def options(self, *given: Mapping[str, object]) -> Options:
        """The options of an image: the headers', and those `given`, of which the last win.

        Raises InvalidOption for an invalid one, and for `annotate`.
        """
        values = of_headers(self.headers)
        for more in given:
            values |= more
        if "annotate" in values:
            raise InvalidOption(
                "there is no picture in an answer to several images; "
                "ask /predictions for each without instances and inputs"
            )
        return checked(values, self.headers, self.tasks)


_KEYS: Final = "the keys of {} are {}, and not {}"


def known_keys(content: Mapping[str, object], keys: Sequence[str], of: str) -> None:
    """Raise InvalidRequest for a key of an object that is not among `keys`."""
    for key in content:
        if key not in keys:
            raise InvalidRequest(_KEYS.format(of, ", ".join(keys), shown(key)))


def parameters(content: Mapping[str, object], of: str) -> dict[str, object]:
    """The object `parameters`; raises InvalidRequest where it is something else."""
    found = content.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest(f'"parameters" of {of} is {shown(found)}; it is an object')
    return dict(found)


def image_in(value: object, name: str) -> bytes:
    """The image in base64, as a text or as {"b64": text}; raises InvalidRequest."""
    if isinstance(value, dict) and value.keys() == {"b64"}:
        value = value["b64"]
    return parse_base64(value, name)
