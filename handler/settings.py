"""What the key `handler` of model-config.yaml may say."""

from collections.abc import Mapping
from dataclasses import dataclass

# The lowest values. MTCNN looks through a window of 12 pixels.
_LOWEST = {"max_pixels": 1, "min_face_size": 12, "max_side": 64, "threads": 0}


class SettingsError(ValueError):
    """model-config.yaml says something that cannot be followed."""


@dataclass(frozen=True)
class Settings:
    """How one worker serves; what belongs to the model itself is in its contract instead."""

    # Photographs with more pixels are refused before they are decoded; one pixel takes about
    # 10 bytes on the way.
    max_pixels: int = 50_000_000

    # Faces with a smaller side, in pixels of the photograph as it is looked at, are not searched
    # for. Twice the size is about twice as fast.
    min_face_size: int = 20

    # A photograph with a longer side, in pixels, is looked at scaled down to it; faces are cut
    # out of the full one all the same.
    max_side: int = 1280

    # Threads that torch computes with on the CPU. 0 leaves torch's own choice, one for each
    # core, which is right for one worker; give several workers their share of the cores.
    threads: int = 0

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
            if key not in _LOWEST:
                raise SettingsError(
                    f"model-config.yaml: handler has an unknown key {key!r}; "
                    f"known are {', '.join(_LOWEST)}"
                )
            low = _LOWEST[key]
            if type(value) is not int or value < low:  # bool is an int to isinstance
                raise SettingsError(
                    f"model-config.yaml: handler.{key} must be a whole number of at least {low}, "
                    f"not {value!r}"
                )
        return cls(**mapping)
