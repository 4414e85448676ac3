"""Tells how much memory decoding takes for each pixel, by format and mode.

    python -m bench.decoding_memory
    python -m bench.decoding_memory --megapixels 50 --only WebP

Each file is made, and decoded in a process of its own that keeps freed memory as a worker does.
What is counted is the most that it grows by from where it has the file's bytes: a WebP's are there
twice more. docs/limits.md has the table, and handler/settings.py the largest.
"""

import argparse
import io
import math
import multiprocessing
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

from PIL import Image

from handler.imaging.decode import decode
from handler.malloc import keep_freed_memory

MEGAPIXELS: Final = 20.0
ASPECT: Final = 4 / 3
RUN_LENGTH: Final = 4.0  # megapixels that a run-length encoded BMP may have
_STATUS, _PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Make = Callable[[int, int], bytes]


def image(mode: str, width: int, height: int) -> Image.Image:
    """A smooth picture of `mode`; where it has alpha, of every alpha."""
    grey = Image.linear_gradient("L").resize((width, height))
    if mode in ("RGBA", "LA"):
        picture = grey.convert(mode)
        picture.putalpha(grey)
        return picture
    if mode == "P":
        picture = grey.copy()
        picture.putpalette([value for n in range(256) for value in (n, 255 - n, n)])
        return picture
    return grey.convert(mode)


def of_pillow(kind: str, mode: str, **parameters: Any) -> Make:
    """A file as Pillow writes it."""

    def make(width: int, height: int) -> bytes:
        file = io.BytesIO()
        image(mode, width, height).save(file, kind, **parameters)
        return file.getvalue()

    return make


def animated(kind: str) -> Make:
    """A file whose second frame is another."""

    def make(width: int, height: int) -> bytes:
        file = io.BytesIO()
        first = image("RGBA", width, height)
        second = first.transpose(Image.Transpose.ROTATE_180)
        first.save(file, kind, save_all=True, append_images=[second], method=1)
        return file.getvalue()

    return make


def without_end(kind: str, mode: str, **parameters: Any) -> Make:
    """A JPEG that lacks its last two bytes."""
    whole = of_pillow(kind, mode, **parameters)
    return lambda width, height: whole(width, height)[:-2]


def turned(make: Make) -> Make:
    """A JPEG of a camera that was held upright."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6" + bytes(6)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif

    def make_turned(width: int, height: int) -> bytes:
        body = make(width, height)
        return body[:2] + segment + body[2:]

    return make_turned


# Of Adam7's passes: first column and row, and the steps between them.
_PASSES: Final = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by PNG's colour types


def png(colours: int, bits: int, *chunks: tuple[bytes, bytes], interlaced: bool = False) -> Make:
    """A PNG of any kind, of rows that say 0, 1, 2 ... 255 again and again."""

    def make(width: int, height: int) -> bytes:
        passes = _PASSES if interlaced else ((0, 0, 1, 1),)
        packer, data = zlib.compressobj(1), b""
        for x, y, right, down in passes:
            columns, rows = -(-(width - x) // right), -(-(height - y) // down)
            size = -(-columns * bits * _SAMPLES[colours] // 8) if columns > 0 else 0
            row = b"\0" + (bytes(range(256)) * (size // 256 + 1))[:size]
            for _ in range(rows if size else 0):
                data += packer.compress(row)
        header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced)
        parts = ((b"IHDR", header), *chunks, (b"IDAT", data + packer.flush()), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)

    return make


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def bmp(bits: int, *, header: int = 40, compression: int = 0) -> Make:
    """A BMP that Pillow does not write; with bit fields it names its alpha."""

    def make(width: int, height: int) -> bytes:
        stride = (width * bits + 31) // 32 * 4
        rows = (bytes(range(256)) * (stride // 256 + 1))[:stride] * height
        colours = b""
        if compression == 1:  # run-length encoded: the end of each line, after one pixel
            rows, colours = b"\1\7\0\0" * height, bytes(range(256)) * 4
        head = struct.pack(
            *("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(rows), 0, 0, 0, 0)
        )
        head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        head = head[:header].ljust(header, b"\0") + colours
        start = 14 + len(head)
        return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + head + rows

    return make


_PALETTE: Final = (b"PLTE", bytes(range(256)) * 3)
_FULL: Final[dict[str, Any]] = {"subsampling": "4:4:4"}
KINDS: Final[dict[str, Make]] = {
    "JPEG, grey": of_pillow("JPEG", "L"),
    "JPEG, 4:2:0": of_pillow("JPEG", "RGB", subsampling="4:2:0"),
    "JPEG, 4:4:4": of_pillow("JPEG", "RGB", **_FULL),
    "JPEG, 4:4:4, turned": turned(of_pillow("JPEG", "RGB", **_FULL)),
    "JPEG, CMYK": of_pillow("JPEG", "CMYK"),
    "JPEG, progressive, grey": of_pillow("JPEG", "L", progressive=True),
    "JPEG, progressive, 4:2:0": of_pillow("JPEG", "RGB", progressive=True, subsampling="4:2:0"),
    "JPEG, progressive, 4:4:4": of_pillow("JPEG", "RGB", progressive=True, **_FULL),
    "JPEG, progressive, CMYK": of_pillow("JPEG", "CMYK", progressive=True),
    "JPEG, progressive, without its end": without_end("JPEG", "RGB", progressive=True, **_FULL),
    **{
        f"PNG, {name}{', interlaced' * interlaced}": png(
            colours, bits, *chunks, interlaced=interlaced
        )
        for name, colours, bits, chunks in (
            ("grey of 1 bit", 0, 1, ()),
            ("grey", 0, 8, ()),
            ("grey with a transparent one", 0, 8, ((b"tRNS", b"\0\7"),)),
            ("grey of 16 bits", 0, 16, ()),
            ("grey with alpha", 4, 8, ()),
            ("grey with alpha of 16 bits", 4, 16, ()),
            ("palette", 3, 8, (_PALETTE,)),
            ("palette with alpha", 3, 8, (_PALETTE, (b"tRNS", bytes(range(256))))),
            ("RGB", 2, 8, ()),
            ("RGB with a transparent colour", 2, 8, ((b"tRNS", bytes((0, 1, 0, 2, 0, 3))),)),
            ("RGB of 16 bits", 2, 16, ()),
            ("RGBA", 6, 8, ()),
            ("RGBA of 16 bits", 6, 16, ()),
        )
        for interlaced in (False, True)
    },
    "WebP, lossy": of_pillow("WEBP", "RGB", method=1),
    "WebP, lossy with alpha": of_pillow("WEBP", "RGBA", method=1),
    "WebP, lossless": of_pillow("WEBP", "RGB", lossless=True, method=1),
    "WebP, lossless with alpha": of_pillow("WEBP", "RGBA", lossless=True, method=1),
    "WebP, animated": animated("WEBP"),
    "GIF, palette": of_pillow("GIF", "P"),
    "GIF, palette with a transparent colour": of_pillow("GIF", "P", transparency=7),
    "GIF, grey": of_pillow("GIF", "L"),
    "BMP, 1 bit": of_pillow("BMP", "1"),
    "BMP, palette": of_pillow("BMP", "P"),
    "BMP, 16 bits": bmp(16),
    "BMP, 24 bits": of_pillow("BMP", "RGB"),
    "BMP, 32 bits with alpha": bmp(32, header=124, compression=3),
    "BMP, run-length encoded": bmp(8, compression=1),
}


def peak(small: bytes, file: Path, max_pixels: int) -> int:
    """Bytes that this process grows by to decode `file`, at most; to be asked once in a process.

    `small`, another of its kind, is decoded before: what the first of a kind loads is not counted.
    """
    keep_freed_memory()
    body = file.read_bytes()
    decode(small, max_pixels)
    _PEAK_RESET.write_text("5")
    before = _status("VmRSS")
    decode(body, max_pixels)
    return _status("VmHWM") - before


def _status(key: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])


def measured(name: str, width: int, height: int) -> tuple[int, int]:
    """Bytes of a file of the kind `name`, and bytes that decoding it takes."""
    # forked of a process that has imported what is needed and has freed nothing yet
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["handler.imaging.decode", "handler.hardware"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "picture")
        size = file.write_bytes(KINDS[name](width, height))
        small = KINDS[name](64, 48)
        with ProcessPoolExecutor(1, context) as process:
            return size, process.submit(peak, small, file, width * height).result()


def main(argv: list[str] | None = None) -> int:
    """The table; 1 where a pixel takes more than `--most` bytes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megapixels", type=float, default=MEGAPIXELS, metavar="20")
    parser.add_argument("--only", default="", metavar="TEXT", help="of kinds that start so")
    parser.add_argument("--most", type=float, default=0, metavar="BYTES", help="0: any")
    options = parser.parse_args(argv)
    names = [name for name in KINDS if name.startswith(options.only)]
    if not names:
        parser.error(f"--only {options.only}: no such kind; there are {'; '.join(KINDS)}")
    if not _PEAK_RESET.exists():
        parser.error("only Linux tells the most that a process has grown by")
    worst = 0.0
    print("| kind | file, MB | bytes for each pixel |\n|---|---|---|")
    for name in names:
        most = RUN_LENGTH if name == "BMP, run-length encoded" else options.megapixels
        height = math.isqrt(int(1e6 * most / ASPECT))
        width = int(1e6 * most) // height
        size, took = measured(name, width, height)
        pixels = width * height
        worst = max(worst, took / pixels)
        print(f"| {name} | {size / 1e6:.1f} | {took / pixels:.1f} |", flush=True)
    if options.most and worst > options.most:
        print(f"error: {worst:.1f} bytes, which is more than {options.most:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
