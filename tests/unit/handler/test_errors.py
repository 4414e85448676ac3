"""The table of failures that the README gives."""

from handler import errors


def test_each_failure_has_its_status_and_type() -> None:
    kinds = errors.Failure.__subclasses__()
    assert {(kind.code, kind.type) for kind in kinds} == {
        (400, "InvalidRequest"),
        (400, "InvalidOption"),
        (400, "InvalidImage"),
        (413, "ImageTooLarge"),
        (415, "UnsupportedImageFormat"),
        (500, "InternalError"),
        (501, "NotImplemented"),
        (503, "WaitedTooLong"),
        (507, "OutOfMemory"),
    }
    # TorchServe counts a phrase's length in characters and sends its bytes
    assert all(kind.phrase.isascii() and kind.phrase for kind in kinds)


def test_the_drawing_is_the_tree() -> None:
    drawing = errors.__doc__ or ""
    for kind in errors.Failure.__subclasses__():
        assert f"── {kind.__name__} " in drawing
        assert f"{kind.code}" in drawing.split(f"── {kind.__name__} ")[1].splitlines()[0]


def test_message() -> None:
    assert errors.InvalidImage("send it again").message == "send it again"
