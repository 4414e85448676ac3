import pytest

from handler.imaging.sniffing import described, served_format
from tests.pictures import encoded, scene


@pytest.mark.parametrize(
    ("kind", "name"),
    [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WebP"), ("BMP", "BMP"), ("GIF", "GIF")],
)
def test_served(kind: str, name: str) -> None:
    body = encoded(scene(8, 8), kind)
    assert served_format(body) == name
    assert served_format(body[:18]) == name


@pytest.mark.parametrize("body", [b"BM", b"BMW is a maker of cars, not a bitmap", b"RIFF", b"GIF"])
def test_nearly_served(body: bytes) -> None:
    assert served_format(body) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"%PDF-1.7\n", "starts like a PDF"),
        (encoded(scene(8, 8), "TIFF"), "starts like a TIFF or a camera's raw file"),
        (b"MM\0*\0\0", "starts like a TIFF or a camera's raw file"),
        (b"\0\0\0\x18ftypheic\0\0", "starts like an HEIC image"),
        (b"\0\0\0\x18ftypmif1\0\0", "starts like an HEIF image"),
        (encoded(scene(8, 8), "AVIF"), "starts like an AVIF image"),
        (b"\0\0\0\x18ftypisom\0\0", "starts like an MP4 or QuickTime video"),
        (encoded(scene(8, 8), "JPEG2000"), "starts like a JPEG 2000"),
        (b"\xff\x0a\0", "starts like a JPEG XL"),
        (b"RIFF\0\0\0\0AVI LIST", "starts like an AVI video or a WAV sound"),
        (b"\x1aE\xdf\xa3", "starts like a WebM or Matroska video"),
        (b"PK\3\4rest", "starts like a ZIP archive (or an office document)"),
        (b"\x1f\x8b\x08", "starts like a gzip file"),
        (encoded(scene(16, 16), "ICO"), "starts like an icon"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', "starts like an SVG drawing"),
        (b"\n <SVG>", "starts like an SVG drawing"),
        (b"<!DOCTYPE html><html>", "starts like a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><a/>", "starts like XML"),
        (b'{"data": "..."}', "starts like JSON, which needs the content type application/json"),
        (b"[1, 2]", "starts like JSON, which needs the content type application/json"),
        (b"\xff", "is in no image format that is known here"),
        (b"hello\r\n\tworld", 'is text (base64 goes into JSON: {"data": "<base64>"})'),
        ("Größe ".encode() * 200, 'is text (base64 goes into JSON: {"data": "<base64>"})'),
        ("€".encode() * 400, 'is text (base64 goes into JSON: {"data": "<base64>"})'),
        ("hello".encode("utf-16"), "starts like text in UTF-16"),
        (b"\0" * 1000, "is in no image format that is known here"),
        (b"\x80\x81\x82\x83\x84\x85", "is in no image format that is known here"),
        (b"{\0\x01\xff\xfe\xfd\xfc", "is in no image format that is known here"),
    ],
)
def test_others_are_named(body: bytes, words: str) -> None:
    assert served_format(body) is None
    assert described(body) == words
