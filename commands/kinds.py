"""What a file is that is no JPEG, PNG, WebP, BMP or GIF, and what to do with it.

A file fails whoever gives it where it may have been meant as a picture, or holds pictures: by its
suffix, by its first bytes, or because nothing is known of either. Text, tables, sounds, videos and
what systems and programs keep beside pictures do not fail: they are counted.
"""

from dataclasses import dataclass
from typing import Final

from handler.imaging.sniffing import described

# Of the formats that are served; whether a file is in one of them is the service's to say.
SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif")
)


@dataclass(frozen=True)
class Kind:
    """Files that are left out for one reason; `advice` is "" where they were never pictures."""

    name: str
    advice: str = ""


def _picture(name: str, command: str) -> Kind:
    return Kind(name, f"convert it, for example with {command}")


_HEIC: Final = _picture("HEIC", "heif-convert a.heic a.jpg (on a Mac: sips -s format jpeg)")
_AVIF: Final = _picture("AVIF", "avifdec a.avif a.png")
_TIFF: Final = _picture("TIFF", "magick a.tif a.png")
_RAW: Final = _picture("camera raw", "darktable-cli a.nef a.jpg, or the camera maker's program")
_PDF: Final = _picture("PDF", "pdfimages -all a.pdf a (its photographs), or pdftoppm -png a.pdf a")
_SVG: Final = _picture("SVG", "magick a.svg a.png")
_JXL: Final = _picture("JPEG XL", "djxl a.jxl a.png")
_JP2: Final = _picture("JPEG 2000", "magick a.jp2 a.png")
_OTHER: Final = _picture("another picture format", "magick a.psd a.png")
_ARCHIVE: Final = Kind("an archive", "unpack it, and give the folder")
_OFFICE: Final = Kind("an office document", "save its photographs as files of their own")
_UNKNOWN: Final = Kind("a format that is not known here", "given by its name, it is asked as it is")
UNRELATED: Final = Kind("no picture")

_OF_SUFFIX: Final = {
    f".{suffix}": kind
    for suffixes, kind in (
        ("heic heif hif heics heifs", _HEIC),
        ("avif avifs", _AVIF),
        ("tif tiff btf", _TIFF),
        (
            "dng cr2 cr3 crw nef nrw arw sr2 srf orf rw2 raf pef srw x3f raw rwl 3fr fff iiq "
            "mef mos mrw kdc dcr erf gpr",
            _RAW,
        ),
        ("pdf", _PDF),
        ("svg svgz", _SVG),
        ("jxl", _JXL),
        ("jp2 j2k j2c jpf jpx jpm jpc jph", _JP2),
        (
            "psd psb xcf ico cur icns tga pcx dcx ppm pgm pbm pnm pfm pam exr hdr dcm dicom jls "
            "jng mng jxr wdp hdp bpg dds qoi sgi rgb ras xbm xpm wmf emf eps ps ai djvu fit fits "
            "flif mpo pict pct afphoto kra clip",
            _OTHER,
        ),
        ("zip tar gz tgz bz2 xz zst 7z rar cbz cbr", _ARCHIVE),
        ("doc docx odt rtf ppt pptx odp xps pages epub", _OFFICE),
        (
            "txt md rst csv tsv json jsonl xml xmp aae html htm css yaml yml toml ini cfg conf log "
            "db sqlite lnk url desktop py js sh bat exe dll so pyc pt pth onnx safetensors mar npy "
            "npz pkl parquet xls xlsx ods ipynb thm lrv modd moff picasa nomedia sha256 md5 "
            "mp4 m4v mov avi mkv webm mpg mpeg mts m2ts 3gp wmv flv insv "
            "mp3 m4a wav ogg opus flac aac wma amr mid",
            UNRELATED,
        ),
    )
    for suffix in suffixes.split()
}
# By the words of `handler.imaging.sniffing.described`, what stands first counts.
_OF_WORDS: Final = (
    ("HEIC", _HEIC),
    ("HEIF", _HEIC),
    ("AVIF", _AVIF),
    ("TIFF", _TIFF),
    ("raw file", _RAW),
    ("PDF", _PDF),
    ("SVG", _SVG),
    ("JPEG XL", _JXL),
    ("JPEG 2000", _JP2),
    ("Photoshop", _OTHER),
    ("an icon", _OTHER),
    ("archive", _ARCHIVE),
    ("gzip", _ARCHIVE),
    ("video", UNRELATED),
    ("sound", UNRELATED),
    ("Ogg", UNRELATED),
    ("text", UNRELATED),
    ("web page", UNRELATED),
    ("XML", UNRELATED),
    ("JSON", UNRELATED),
)


def of_suffix(suffix: str) -> Kind | None:
    """The kind that files with a suffix such as ".HEIC" are; None where that says nothing."""
    return _OF_SUFFIX.get(suffix.lower())


def of_bytes(head: bytes) -> Kind:
    """The kind that a file with these first bytes is, which are no served format."""
    if not head:
        return UNRELATED
    words = described(head)
    return next((kind for text, kind in _OF_WORDS if text in words), _UNKNOWN)
