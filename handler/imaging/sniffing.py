"""Recognizes the format of a body by its first bytes."""

from typing import Final

SERVED: Final = ("JPEG", "PNG", "WebP", "BMP", "GIF")

# Signatures are as short as possible, so that a damaged image is still recognized.
_SERVED_SIGNATURES: Final = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
)
BMP_HEADER_SIZES: Final = (12, 40, 52, 56, 64, 108, 124)  # bytes; OS/2 has others up to 64

# Formats that people send by mistake, named for the message "the body starts like ...".
_OTHER_SIGNATURES: Final = (
    (b"%PDF", "a PDF"),
    (b"II*\0", "a TIFF or a camera's raw file"),
    (b"MM\0*", "a TIFF or a camera's raw file"),
    (b"II+\0", "a TIFF"),
    (b"MM\0+", "a TIFF"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon"),
    (b"RIFF", "an AVI video or a WAV sound"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska video"),
    (b"ID3", "an MP3 sound"),
    (b"OggS", "an Ogg file"),
    (b"PK\3\4", "a ZIP archive (or an office document)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)
_BRANDS: Final = {
    b"heic": "an HEIC image",
    b"heix": "an HEIC image",
    b"hevc": "an HEIC image",
    b"heim": "an HEIC image",
    b"mif1": "an HEIF image",
    b"msf1": "an HEIF image",
    b"avif": "an AVIF image",
    b"avis": "an AVIF image",
    b"crx ": "a camera's raw file",
}
_HEAD: Final = 512  # bytes that decide whether the body is text


def served_format(body: bytes) -> str | None:
    """One of `SERVED`, or None if the body starts like none of them."""
    for signature, name in _SERVED_SIGNATURES:
        if body.startswith(signature):
            return name
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "WebP"
    # "BM" alone may be the start of a sentence
    if body[:2] == b"BM" and 12 <= int.from_bytes(body[14:18], "little") <= BMP_HEADER_SIZES[-1]:
        return "BMP"
    return None


def described(body: bytes) -> str:
    """Describes a body that is not served: the end of the sentence "the body ..."."""
    for signature, name in _OTHER_SIGNATURES:
        if body.startswith(signature):
            return f"starts like {name}"
    if body[4:8] == b"ftyp":
        return f"starts like {_BRANDS.get(body[8:12], 'an MP4 or QuickTime video')}"
    head = body[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(b"<"):
        if b"<svg" in head:
            return "starts like an SVG drawing"
        return (
            "starts like a web page"
            if b"<html" in head or b"<!doctype" in head
            else ("starts like XML")
        )
    if head.startswith((b"{", b"[")) and _is_text(head):
        return "starts like JSON, which needs the content type application/json"
    if _is_text(head):
        return 'is text (base64 goes into JSON: {"data": "<base64>"})'
    return "is in no image format that is known here"


def _is_text(head: bytes) -> bool:
    """Whether the first bytes are UTF-8 without control characters."""
    text = head.decode("utf-8", "ignore")
    # the cut may split a character of up to 4 bytes
    return (
        text != ""  # a byte or two decide nothing
        and len(head) - len(text.encode()) < 4
        and text.translate(_NO_LINES).isprintable()
    )


_NO_LINES: Final = dict.fromkeys(map(ord, "\t\r\n"))
