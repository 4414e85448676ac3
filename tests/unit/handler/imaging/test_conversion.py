"""Strips come to the same as the whole image at once, which is what they stand for."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageOps

from handler.imaging import conversion
from handler.imaging.conversion import upright_rgb
from handler.imaging.crop import RGBImage
from tests.images import scene

HEIGHT, WIDTH = 41, 23
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)


def at_once(image: Image.Image, orientation: int | None) -> RGBImage:
    """In whole images, each step a copy."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        rgb = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    elif image.has_transparency_data:
        rgb = image.convert("RGBA")
        if rgb.getchannel("A").getextrema() not in ((0, 0), (255, 255)):
            white = Image.new("RGB", image.size, "white")
            white.paste(rgb, mask=rgb)
            rgb = white
        rgb = rgb.convert("RGB")
    else:
        rgb = image.convert("RGB")
    turned = rgb.copy()
    turned.getexif()[0x0112] = orientation or 1
    return np.asarray(ImageOps.exif_transpose(turned))


def with_alpha(alpha: int | None, one_other: int | None = None) -> Image.Image:
    """Noise of one alpha, but perhaps for the last pixel."""
    pixels = NOISE.copy()
    if alpha is not None:
        pixels[..., 3] = alpha
    if one_other is not None:
        pixels[-1, -1, 3] = one_other
    return Image.fromarray(pixels)


def transparent(image: Image.Image, transparency: object) -> Image.Image:
    """The image with transparency in `info`, as Pillow's readers set it."""
    image.info["transparency"] = transparency
    return image


def images() -> dict[str, Image.Image]:
    colours, palette = Image.fromarray(NOISE[..., :3]), Image.fromarray(scene(HEIGHT, WIDTH))
    some = palette.quantize(16)
    layered = some.copy()
    layered.putalpha(Image.fromarray(NOISE[..., 3]))
    ramp = Image.new("P", (HEIGHT, WIDTH))
    ramp.putpalette(bytes(range(240)) + bytes(16), "RGBA")
    ramp.frombytes((np.arange(HEIGHT * WIDTH) % 64).astype(np.uint8).tobytes())
    return {
        **{mode: colours.convert(mode) for mode in ("1", "L", "RGB", "CMYK", "YCbCr", "HSV")},
        "RGBX": Image.frombytes("RGBX", (WIDTH, HEIGHT), NOISE.tobytes()),
        "P": some.copy(),
        "RGBA": with_alpha(None),
        "RGBA, clear": with_alpha(0),
        "RGBA, clear but for one": with_alpha(0, 1),
        "RGBA, opaque": with_alpha(255),
        "RGBA, opaque but for one": with_alpha(255, 254),
        "RGBA, all alike": with_alpha(7),
        "LA": with_alpha(None).convert("LA"),
        "LA, clear": with_alpha(0).convert("LA"),
        "PA": layered,
        "P of RGBA": ramp,
        "1 with transparency": transparent(colours.convert("1"), 255),
        "L with transparency": transparent(colours.convert("L"), 7),
        "RGB with transparency": transparent(colours.copy(), colours.getpixel((3, 3))),
        "P with transparency": transparent(some.copy(), 3),
        "P with none of its colours": transparent(some.copy(), 200),
        "P with alpha": transparent(some.copy(), bytes(range(0, 256, 16))),
        "P, clear": transparent(some.copy(), bytes(16)),
        "P, opaque": transparent(some.copy(), b"\xff" * 16),
        "I;16": Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256 + NOISE[..., 1]),
        "I;16 with transparency": transparent(Image.fromarray(NOISE[..., 0].astype(np.uint16)), 5),
        "I": Image.fromarray(NOISE[..., 0].astype(np.int32) * 257),
    }


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"):  # as the decoder has it
        yield


@pytest.mark.parametrize("name", images())
@pytest.mark.parametrize("strip", [1, 3 * WIDTH, 20 * WIDTH + 1, 2**18])
def test_modes(name: str, strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_STRIP", strip)
    image = images()[name]
    picture = upright_rgb(image, None)
    assert picture.flags.c_contiguous
    assert np.array_equal(picture, at_once(image, None))


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("strip", [1, 3 * WIDTH, 2**18])
@pytest.mark.parametrize("name", ["RGB", "RGBA"])
def test_orientations(
    name: str, strip: int, orientation: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_STRIP", strip)
    picture = upright_rgb(images()[name], orientation)
    assert picture.flags.c_contiguous
    assert np.array_equal(picture, at_once(images()[name], orientation))


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_alpha_no_served_format_has(mode: str) -> None:
    image = with_alpha(None).convert("LA" if mode == "La" else "RGBA").convert(mode)
    try:
        expected = at_once(image, None)
    except ValueError:
        with pytest.raises(ValueError, match="conversion from La to L not supported"):
            upright_rgb(image, None)
    else:
        assert np.array_equal(upright_rgb(image, None), expected)
