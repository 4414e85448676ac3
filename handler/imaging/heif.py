"""Opens HEIC and AVIF where the extra `heif` is installed: pillow-heif, and Pillow's own libavif.

Neither Pillow's plugin nor pillow-heif's is used: both parse EXIF, whose directories can claim
gigabytes. The orientation of these formats is the container's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Literal

from PIL import Image

from handler.errors import UnsupportedImageFormat

Kind = Literal["HEIC", "AVIF"]
_BRANDS: Final[dict[bytes, Kind]] = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}
_GENERAL: Final = (b"mif1", b"msf1")  # of both; the compatible brands say which it is
_MOST_BRANDS: Final = 32
_CONVERT: Final = (
    "this is an {} image, which this service does not decode; convert it to JPEG, as with sips or "
    "heif-convert, or have the service's extra heif installed"
)


@dataclass(frozen=True)
class Opened:
    """A file of which only the size has been read."""

    size: tuple[int, int]  # width and height in pixels, as `load` gives them
    load: Callable[[], Image.Image]  # decodes the primary image, 8 bits a colour
    orientation: int  # EXIF's number for what is still to be done


def kind_of(body: bytes) -> Kind | None:
    """Which of both a body is, by the brands at its start; None for anything else."""
    if body[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(body[:4]), 16 + 4 * _MOST_BRANDS)
    if body[8:12] not in _GENERAL:
        return _BRANDS.get(body[8:12])
    compatible = (body[at : at + 4] for at in range(16, end, 4))
    return next((_BRANDS[brand] for brand in compatible if brand in _BRANDS), None)


def is_installed() -> bool:
    """Whether the extra is there."""
    return find_spec("pillow_heif") is not None


def opened(body: bytes, kind: Kind) -> Opened:
    """The size of a file, and how to decode it.

    Raises UnsupportedImageFormat where the extra is missing, and what the libraries raise of files
    that are damaged.
    """
    if not is_installed():
        raise UnsupportedImageFormat(_CONVERT.format(kind))
    return _heic(body) if kind == "HEIC" else _avif(body)


def _heic(body: bytes) -> Opened:
    import pillow_heif

    options = pillow_heif.options
    options.DECODE_THREADS = 1  # a worker's images are decoded in threads of their own
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    image = pillow_heif.open_heif(body, convert_hdr_to_8bit=True)
    primary = image[image.primary_index]

    def load() -> Image.Image:
        found: Image.Image = primary.to_pillow()  # libheif has turned it upright
        return found.convert("RGBA") if found.mode == "RGBa" else found

    return Opened(primary.size, load, 1)


def _avif(body: bytes) -> Opened:
    from PIL import _avif

    decoder = _avif.AvifDecoder(body, "auto", 1)
    size, _, mode, _, _, orientation, _ = decoder.get_info()

    def load() -> Image.Image:
        return Image.frombytes(mode, size, decoder.get_frame(0)[0])

    return Opened(size, load, orientation)
