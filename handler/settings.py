"""What the key `handler` of model-config.yaml may say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Precision = Literal["auto", "float32", "bfloat16", "int8"]

# The lowest values. MTCNN looks through a window of 12 pixels.
_LOWEST = {
    "max_pixels": 1,
    "min_face_size": 12,
    "max_side": 64,
    "threads": 0,
    "longest_step": 0,
    "longest_wait": 0,
}
_CHOICES = {"precision": get_args(Precision)}


def takes(key: str) -> str | None:
    """What the value of a key may be, in words; None where there is no such key."""
    if key in _LOWEST:
        return f"a whole number of at least {_LOWEST[key]}"
    return f"one of {', '.join(_CHOICES[key])}" if key in _CHOICES else None


class SettingsError(ValueError):
    """model-config.yaml says something that cannot be followed."""


@dataclass(frozen=True)
class Settings:
    """How one worker serves; what belongs to the model itself is in its contract instead."""

    max_pixels: int = 50_000_000
    """Photographs with more pixels are refused before they are decoded. One pixel takes 4 to 7
    bytes on the way in most formats, and up to 12 in a progressive JPEG or a WebP, whose file is
    there twice more."""

    min_face_size: int = 40
    """Faces with a smaller side, in pixels of the photograph as it is looked at, are not searched
    for. Half of it makes a search about twice as long."""

    max_side: int = 1280
    """A photograph with a longer side, in pixels, is looked at scaled down to it; faces are cut
    out of the full one all the same."""

    threads: int = 0
    """Threads that one worker computes with on the CPU. 0: one for a worker on the CPU, as there
    is a worker for each core then; the worker's share of the cores beside a GPU."""

    longest_step: int = 10
    """Seconds that one step of a batch may take: one photograph's decoding, the search for faces
    in it or in several of a megapixel together, ages of 64 of them. A worker in which one takes
    longer hangs, and ends to be replaced. 0: only responseTimeout tells."""

    longest_wait: int = 55
    """Seconds that a request may have waited when its turn comes, where a proxy tells by the
    header X-Request-Start when it came. An answer that says so must reach the client before
    clientTimeoutInMills is over, from which on TorchServe sends none. 0: any time."""

    precision: Precision = "auto"
    """What the ages are computed in. auto: the fastest that the hardware and the model have; int8
    is for CPUs and needs a model that was exported with it."""

    @classmethod
    def from_mapping(cls, mapping: object) -> "Settings":
        """None (the key is absent or empty) gives the defaults.

        Raises:
            SettingsError: naming the key that is unknown, of a wrong type or out of its range.
        """
        if mapping is None:
            return cls()
        if not isinstance(mapping, Mapping):
            raise SettingsError(f"model-config.yaml: handler must hold keys, not {mapping!r}")
        for key, value in mapping.items():
            allowed = takes(key)
            if allowed is None:
                raise SettingsError(
                    f"model-config.yaml: handler has an unknown key {key!r}; "
                    f"known are {', '.join([*_LOWEST, *_CHOICES])}"
                )
            if key in _CHOICES:
                valid = value in _CHOICES[key]
            else:
                # bool is an int to isinstance
                valid = type(value) is int and value >= _LOWEST[key]
            if not valid:
                raise SettingsError(
                    f"model-config.yaml: handler.{key} must be {allowed}, not {value!r}"
                )
        return cls(**mapping)
