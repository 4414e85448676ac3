"""Kinds of files: images that can be decoded here, and others, with advice on how to convert them.

A file that may be an image or hold images (by its suffix, its first bytes, or because both are
unknown) is an error. Text, tables, audio, video and files that systems and programs keep beside
images are only counted.
"""

from dataclasses import dataclass
from typing import Final

from handler.imaging import heif
from handler.imaging.sniffing import described, served_format

# Suffixes of served formats; the service decides by the content.
SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif")
)
_OF_EXTRA: Final = frozenset((".heic", ".heif", ".hif", ".avif"))  # of the extra heif


@dataclass(frozen=True)
class Kind:
    """A kind of file that is left out; `advice` is "" if it is unrelated to images."""

    name: str
    advice: str = ""


def _convertible(name: str, command: str) -> Kind:
    return Kind(name, f"convert it, for example with {command}")


_INSTALL: Final = ", or install the extra heif"
_HEIC: Final = _convertible(
    "HEIC", f"heif-convert a.heic a.jpg (on a Mac: sips -s format jpeg){_INSTALL}"
)
_AVIF: Final = _convertible("AVIF", f"avifdec a.avif a.png{_INSTALL}")
_TIFF: Final = _convertible("TIFF", "magick a.tif a.png")
_RAW: Final = _convertible("camera raw", "darktable-cli a.nef a.jpg, or the camera maker's program")
_PDF: Final = _convertible("PDF", "pdfimages -all a.pdf a (its photos), or pdftoppm -png a.pdf a")
_SVG: Final = _convertible("SVG", "magick a.svg a.png")
_JXL: Final = _convertible("JPEG XL", "djxl a.jxl a.png")
_JP2: Final = _convertible("JPEG 2000", "magick a.jp2 a.png")
_OTHER: Final = _convertible("another image format", "magick a.psd a.png")
_ARCHIVE: Final = Kind("an archive", "unpack it, and give the folder")
_OFFICE: Final = Kind("an office document", "save its photos as files of their own")
_UNKNOWN: Final = Kind("an unknown format", "name the file itself to send it anyway")
UNRELATED: Final = Kind("no image")

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
# Matched in order with the words of `handler.imaging.sniffing.described`.
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


def names_image(suffix: str) -> bool:
    """Whether a suffix such as ".JPG" is that of a format that can be decoded here."""
    lower = suffix.lower()
    return lower in SUFFIXES or (lower in _OF_EXTRA and heif.is_installed())


def begins_image(head: bytes) -> bool:
    """Whether a file's first bytes are those of a format that can be decoded here."""
    is_served = served_format(head) is not None
    return is_served or (heif.kind_of(head) is not None and heif.is_installed())


def of_suffix(suffix: str) -> Kind | None:
    """The kind of files with a suffix such as ".HEIC"; None if unknown."""
    return _OF_SUFFIX.get(suffix.lower())


def of_bytes(head: bytes) -> Kind:
    """The kind of a file by its first bytes, which are of no served format."""
    if not head:
        return UNRELATED
    words = described(head)
    return next((kind for text, kind in _OF_WORDS if text in words), _UNKNOWN)
