"""What the worst of each format takes, and that the measure sees what is taken."""

import math
import struct
import sys

import pytest

from bench import decoding_memory
from handler.imaging.decode import decode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
# bytes a pixel: 12, and what is there once, divided by 16 million
MOST = 12.2


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("JPEG, 4:4:4, turned", 7.7),  # 4 of Pillow's, 3 of ours
        ("JPEG, progressive, CMYK", MOST),  # libjpeg holds 2 for each coefficient
        ("JPEG, progressive, without its end", 10.5),  # and is decoded twice
        ("PNG, grey", 4.6),
        ("PNG, RGBA, interlaced", 7.8),
        ("PNG, palette with alpha", 4.7),
        ("WebP, lossy", MOST),  # libwebp's two canvases and a frame
        ("WebP, lossless with alpha", MOST),
        ("WebP, lossy with alpha", MOST),
        ("GIF, palette with a transparent colour", 4.7),
        ("BMP, 32 bits with alpha", 7.8),
    ],
)
def test_what_a_pixel_takes(name: str, most: float) -> None:
    width, height = 4500, 3600
    file, took = decoding_memory.measured(name, width, height)
    assert most - 1.5 < took / (width * height) < most
    assert file > 0


@pytest.mark.parametrize(("width", "height"), [(65_535, 240), (240, 65_535)])
@pytest.mark.parametrize("name", ["PNG, RGBA", "PNG, RGBA, interlaced", "JPEG, progressive, CMYK"])
def test_so_it_does_in_odd_shapes(name: str, width: int, height: int) -> None:
    if name.startswith("JPEG"):
        width, height = min(width, 65_500), min(height, 65_500)  # libjpeg's limit
    _, took = decoding_memory.measured(name, width, height)
    assert took / (width * height) < MOST + 0.5


@pytest.mark.parametrize("name", decoding_memory.KINDS)
def test_each_kind_is_what_it_says(name: str) -> None:
    body = decoding_memory.KINDS[name](70, 50)
    assert decode(body, 10_000).shape == ((70, 50, 3) if "turned" in name else (50, 70, 3))
    if name.startswith("PNG"):
        assert struct.unpack_from(">B", body, 28) == ("interlaced" in name,)
    if "progressive" in name:
        assert b"\xff\xc2" in body


def test_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(name: str, width: int, height: int) -> tuple[int, int]:
        asked.append((name, width * height))
        return 1_250_000, 7 * width * height

    monkeypatch.setattr(decoding_memory, "measured", measured)
    assert decoding_memory.main(["--only", "BMP, 2", "--megapixels", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "|---|---|---|",
        "| BMP, 24 bits | 1.2 | 7.0 |",
    ]
    assert decoding_memory.main(["--only", "BMP, r", "--most", "6.9"]) == 1
    assert capsys.readouterr().err == "error: 7.0 bytes, which is more than 6.9\n"
    assert [name for name, _ in asked] == ["BMP, 24 bits", "BMP, run-length encoded"]
    assert asked[1][1] <= 4_000_000
    assert math.isclose(asked[0][1], 3e6, rel_tol=0.01)


def test_of_no_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        decoding_memory.main(["--only", "TIFF"])
    assert ended.value.code == 2
    assert "error: --only TIFF: no such kind; there are JPEG, grey; " in capsys.readouterr().err
