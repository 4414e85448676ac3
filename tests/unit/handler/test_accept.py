import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.accept import PICTURES, preferred_picture


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        ("", ""),
        ("*/*", ""),
        ("application/json", ""),
        ("image/jpeg", "jpeg"),
        ("IMAGE/PNG", "png"),
        ("image/*", "jpeg"),
        ("image/png, image/*;q=0.5", "png"),
        ("image/jpeg, */*;q=0.8", "jpeg"),
        ("image/jpeg, */*", ""),
        ("image/jpeg, application/json", ""),
        ("image/jpeg;q=0.5, application/json;q=0.4", "jpeg"),
        ("image/jpeg ; q=0.2 , image/png;q=0.3", "png"),
        ("image/jpeg;q=0", ""),
        ("image/jpeg;q=0, image/*", "png"),
        ("image/jpeg;q=most", ""),
        ("image/jpeg;q=nan", ""),
        ("image/jpeg;q=7", ""),
        ("text/html, image/webp", ""),
        # what browsers send with an <img> and with a form
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "jpeg"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ""),
    ],
)
def test_pictures_are_preferred(accept: str, preferred: str) -> None:
    assert preferred_picture(accept) == preferred


@given(st.text())
def test_any_text_is_understood(accept: str) -> None:
    assert preferred_picture(accept) in {"", *PICTURES}
