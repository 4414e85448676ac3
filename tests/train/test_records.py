import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.records import age_of, checked_split, number, split_of


def test_split_of_is_the_same_for_a_key_and_near_its_shares() -> None:
    keys = [f"{i}.jpg".encode() for i in range(2000)]
    splits = [split_of(key) for key in keys]
    assert splits == [split_of(key) for key in keys]
    assert 0.80 < splits.count("train") / 2000 < 0.88
    assert 0.06 < splits.count("val") / 2000 < 0.10


def test_checked_split_gives_it_back() -> None:
    assert [checked_split(name) for name in ("train", "val", "test")] == ["train", "val", "test"]


@given(st.floats(0, 116).map(lambda age: round(age, 4)))
def test_age_of_reads_what_is_written(age: float) -> None:
    assert age_of(f"{age:.4f}") == pytest.approx(age, abs=1e-9)


@pytest.mark.parametrize("text", ["-1", "116.1", "9" * 400])
def test_age_of_refuses_what_the_distribution_cannot_hold(text: str) -> None:
    with pytest.raises(ValueError, match="not within 0 to 116"):
        age_of(text)


@given(st.text(max_size=6))
def test_number_is_strict(text: str) -> None:
    if text.isascii() and text.lstrip("+-").replace(".", "0", 1).isdecimal():
        return  # may be one
    with pytest.raises(ValueError, match=r"^x ('|\"|is missing)"):
        number("x", text)


@pytest.mark.parametrize("text", ["nan", "inf", "1e3", "1_0", " 5", "٣", "0x1"])
def test_number_refuses_what_python_would_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number("x", text)
