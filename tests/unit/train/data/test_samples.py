import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.samples import parse_age, parse_number, parse_split, split_by_hash


def test_split_by_hash_is_deterministic_and_near_its_fractions() -> None:
    keys = [f"{i}.jpg".encode() for i in range(2000)]
    splits = [split_by_hash(key) for key in keys]
    assert splits == [split_by_hash(key) for key in keys]
    assert 0.80 < splits.count("train") / 2000 < 0.88
    assert 0.06 < splits.count("val") / 2000 < 0.10


def test_parse_split_accepts_its_own_names() -> None:
    assert [parse_split(name) for name in ("train", "val", "test")] == ["train", "val", "test"]


@given(st.floats(0, 116).map(lambda age: round(age, 4)))
def test_age_of_reads_what_is_written(age: float) -> None:
    assert parse_age(f"{age:.4f}") == pytest.approx(age, abs=1e-9)


@pytest.mark.parametrize("text", ["-1", "116.1", "9" * 400])
def test_age_of_refuses_what_the_distribution_cannot_hold(text: str) -> None:
    with pytest.raises(ValueError, match="not within 0 to 116"):
        parse_age(text)


@given(st.text(max_size=6))
def test_number_is_strict(text: str) -> None:
    if re.fullmatch(r"[+-]*[\d.,e+-]+", text, re.ASCII | re.IGNORECASE):
        return  # may be one
    with pytest.raises(ValueError, match=r"^x ('|\"|is missing)"):
        parse_number("x", text)


@pytest.mark.parametrize("text", ["nan", "inf", "e3", "1e", "1_0", " 5", "٣", "0x1", "1,2,3", "."])
def test_number_refuses_what_python_would_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_number("x", text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_reads_what_python_writes(value: float) -> None:
    assert parse_number("x", repr(value)) == value
    assert parse_number("x", f"{value:.6e}") == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("29.0", 29),
        ("2.9e1", 29),
        ("2.9E+1", 29),
        ("+.5", 0.5),
        ("29,5", 29.5),
        ("-3.05e-05", -3.05e-5),
    ],
)
def test_number_reads_what_spreadsheets_write(text: str, value: float) -> None:
    assert parse_number("x", text) == value


@pytest.mark.parametrize("text", ["1,234", "12,345,678", "-1,000"])
def test_number_refuses_what_may_be_two(text: str) -> None:
    with pytest.raises(ValueError, match="may have a decimal comma or thousands: write a point"):
        parse_number("x", text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, "an age range") for text in ("50-59", "3 - 9", "(25, 32)", "3\u20139", "70+")),
        *((text, "an age range") for text in ("more than 70", ">70", "20 to 29", "over 60")),
        *((text, "a date, which Excel makes of an age range") for text in ("9-Mar", "Oct-19")),
        *((text, "a date, which Excel makes of an age range") for text in ("03. M\xe4r", "9. Sep")),
        *((text, "a date") for text in ("2026-03-09 00:00:00", "09/03/2026", "1.2.1980")),
    ],
)
def test_age_of_names_what_is_no_age(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^age {re.escape(repr(text))} is {kind}.*: give one"):
        parse_age(text)


@pytest.mark.parametrize("text", ["valid", "Validation", " VAL", "val "])
def test_a_split_has_other_names(text: str) -> None:
    assert parse_split(text) == "val"
