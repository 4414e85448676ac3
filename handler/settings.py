"""Settings of the handler: the key `handler` of model-config.yaml."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Decoder = Literal["cpu", "gpu"]

# Minimum values. MTCNN's window is 12 pixels wide.
_MINIMUM = {
    "max_pixels": 1,
    "max_images": 1,
    "min_face_size": 12,
    "max_side": 64,
    "threads": 0,
    "step_timeout": 0,
    "queue_timeout": 0,
    "explained_faces": 0,
}
_CHOICES = {"precision": get_args(Precision), "decoder": get_args(Decoder)}
_FLAGS = ("log_requests",)
# Old names, which work in this version with a warning.
_ALIASES = {"longest_step": "step_timeout", "longest_wait": "queue_timeout"}


def takes(key: str) -> str | None:
    """The values that a key takes, in words; None for an unknown key."""
    if key in _MINIMUM:
        return f"a whole number of at least {_MINIMUM[key]}"
    if key in _FLAGS:
        return "true or false"
    return f"one of {', '.join(_CHOICES[key])}" if key in _CHOICES else None


class SettingsError(ValueError):
    """model-config.yaml has an invalid key or value."""


@dataclass(frozen=True)
class Settings:
    """How one worker serves; what belongs to the model itself is in its contract."""

    max_pixels: int = 50_000_000
    """Images with more pixels are refused before they are decoded. Decoding takes 4 to 7 bytes a
    pixel in most formats, and up to 12 for a progressive JPEG or a WebP, whose file is held twice
    more."""

    max_images: int = 16
    """Images in one request of the open inference protocol (`instances`, `inputs`). Other requests
    have one. As many are in memory at once as a batch has requests, however many there are."""

    min_face_size: int = 40
    """Smallest side of a face that is detected, in pixels of the image after scaling to
    `max_side`. Half of it makes detection about twice as slow."""

    max_side: int = 1280
    """An image with a longer side, in pixels, is scaled down to it for face detection; faces are
    cropped from the full image."""

    threads: int = 0
    """CPU threads of one worker. 0: one for a worker on the CPU, which has a worker for each core;
    with a GPU, its share of the cores beside the model's other workers."""

    step_timeout: int = 10
    """Timeout of one step of a batch, in seconds: decoding one image, detecting faces in one image
    or in several of a megapixel together, a model's predictions of 64 inputs. A worker that exceeds
    it ends and is replaced. 0: only responseTimeout applies."""

    queue_timeout: int = 55
    """Seconds that a request may wait in the queue, counted from the header X-Request-Start, which
    the proxy sets. Below clientTimeoutInMills, so that the refusal still reaches the client. 0: no
    timeout."""

    precision: Precision = "auto"
    """Precision of the models. auto: on a GPU float16, on a CPU the fastest of int8 and bfloat16,
    or float32, as the hardware and the model support them. int8 is for CPUs and needs a model
    that was exported with it; few CPUs compute in float16."""

    decoder: Decoder = "cpu"
    """What decodes JPEGs. gpu: nvJPEG, for a GPU beside few cores; it changes ages a little. Files
    that it refuses, other formats, and JPEGs of twice `max_side` and more are decoded on the
    CPU. A worker without a GPU refuses to start with it."""

    explained_faces: int = 5
    """Faces of an image, the largest, that /explanations explains: each takes as long as the ages
    of 50 faces. 0: there are no explanations."""

    log_requests: bool = True
    """Whether each request gets a line of JSON in request_log.log: its id, what came of it, and the
    times of the stages; nothing of its image but sizes and the number of faces."""

    @classmethod
    def from_mapping(cls, mapping: object) -> "Settings":
        """Settings from the key's content; None (absent or empty) gives the defaults.

        An old name works and logs a warning that names the new one.

        Raises:
            SettingsError: a key is unknown, of a wrong type, out of its range, or given by its old
                and its new name.
        """
        if mapping is None:
            return cls()
        if not isinstance(mapping, Mapping):
            raise SettingsError(f"model-config.yaml: handler must hold keys, not {mapping!r}")
        for old, new in _ALIASES.items():
            if old in mapping and new in mapping:
                raise SettingsError(
                    f"model-config.yaml: handler.{old} is now named {new!r}; give {new!r} alone"
                )
        values: dict[str, Any] = {}
        for key, value in mapping.items():
            name = str(_ALIASES.get(key, key))
            _check(key, name, value)
            values[name] = value
            if name != key:
                logger.warning(
                    "model-config.yaml: handler.%s is deprecated; use handler.%s", key, name
                )
        return cls(**values)


def _check(key: object, name: str, value: object) -> None:
    """Raise SettingsError unless `value` is valid for the setting `name`, given as `key`."""
    allowed = takes(name)
    if allowed is None:
        raise SettingsError(
            f"model-config.yaml: handler has an unknown key {key!r}; "
            f"known are {', '.join([*_MINIMUM, *_CHOICES, *_FLAGS])}"
        )
    if name in _CHOICES:
        valid = value in _CHOICES[name]
    elif name in _FLAGS:
        valid = type(value) is bool
    else:
        # bool is an int to isinstance
        valid = type(value) is int and value >= _MINIMUM[name]
    if not valid:
        raise SettingsError(f"model-config.yaml: handler.{key} must be {allowed}, not {value!r}")
