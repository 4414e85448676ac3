"""HEIC and AVIF, with the extra heif and without."""

import io
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handler.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from handler.imaging import heif
from handler.imaging.decode import decode, decode_reduced
from tests.images import heic, scene

PICTURE = scene(60, 96)
MAX_PIXELS = 100_000


def avif(image: Any, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "AVIF", quality=90, **options)
    return file.getvalue()


MADE = {"HEIC": heic, "AVIF": avif}
BOTH = pytest.mark.parametrize("kind", MADE)


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


@BOTH
def test_is_told_by_its_brands(kind: str) -> None:
    assert heif.kind_of(MADE[kind](PICTURE)) == kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", None),
        (b"\0\0\0\x10ftypmif1\0\0\0\0heic", None),  # behind the box
        (b"\0\0\0\x18ftypisom\0\0\0\0heicavif", None),
        (b"\0\0\0\x18ftyphevc\0\0\0\0", None),  # a sequence alone
        (b"", None),
    ],
)
def test_brands(body: bytes, kind: str | None) -> None:
    assert heif.kind_of(body) == kind


@BOTH
def test_is_decoded(kind: str) -> None:
    decoded = decode_reduced(MADE[kind](PICTURE), MAX_PIXELS, 32)
    assert (decoded.width, decoded.height, decoded.is_full_size) == (96, 60, True)
    assert decoded.image.dtype == np.uint8
    assert np.abs(decoded.image.astype(int) - PICTURE).mean() < 6


@BOTH
@pytest.mark.parametrize("orientation", range(1, 9))
def test_is_upright(kind: str, orientation: int) -> None:
    """The writers turn EXIF's orientation into the container's."""
    made = MADE[kind](PICTURE, exif=exif(orientation))
    png = io.BytesIO()
    Image.fromarray(PICTURE).save(png, "PNG", exif=exif(orientation))
    expected = decode(png.getvalue(), MAX_PIXELS)
    found = decode(made, MAX_PIXELS)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 6


@BOTH
def test_transparent_parts_are_white(kind: str) -> None:
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    rgba[:, 48:, 3] = 0
    found = decode(MADE[kind](rgba), MAX_PIXELS)
    assert found[:, 56:].min() > 240
    assert np.abs(found[:, :40].astype(int) - PICTURE[:, :40]).mean() < 6


@BOTH
def test_is_refused_by_its_size_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, found = MADE[kind](PICTURE), heif.opened

    def opened(body: bytes, kind: heif.Kind) -> heif.Opened:
        file = found(body, kind)
        return heif.Opened(file.size, lambda: pytest.fail("it was decoded"), file.orientation)

    monkeypatch.setattr(heif, "opened", opened)
    with pytest.raises(ImageTooLarge, match=r"\(96 x 60\); send one of 0\.005 at most"):
        decode(made, 5000)


def test_of_several_images_the_primary_one() -> None:
    found = decode(heic(PICTURE, scene(40, 40), primary_index=0), MAX_PIXELS)
    assert found.shape == (60, 96, 3)
    found = decode(heic(scene(40, 40), PICTURE, primary_index=1), MAX_PIXELS)
    assert found.shape == (60, 96, 3)


def test_of_a_sequence_the_first_image() -> None:
    others = [Image.fromarray(255 - PICTURE)] * 3
    found = decode(avif(PICTURE, save_all=True, append_images=others), MAX_PIXELS)
    assert np.abs(found.astype(int) - PICTURE).mean() < 6


@BOTH
@pytest.mark.parametrize("part", [0.1, 0.5, 0.98])
def test_a_truncated_file(kind: str, part: float) -> None:
    body = MADE[kind](PICTURE)
    with pytest.raises(InvalidImage, match=f"^the {kind} cannot be decoded"):
        decode(body[: int(part * len(body))], MAX_PIXELS)


@BOTH
def test_without_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        heif, "find_spec", lambda name: None if name == "pillow_heif" else find_spec(name)
    )
    with pytest.raises(UnsupportedImageFormat) as caught:
        decode(MADE[kind](PICTURE), MAX_PIXELS)
    assert caught.value.message == (
        f"this is an {kind} image, which this service does not decode; convert it to JPEG, as with "
        "sips or heif-convert, or have the service's extra heif installed"
    )
