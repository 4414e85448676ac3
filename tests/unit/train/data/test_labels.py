"""Labels: numbers of an ordinal, names of categories."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.task import Categories, Ordinal
from tests.unit.train.tasks import AGE, AGE_LABELS, SHAPE_LABELS, SHAPES
from train.data.labels import (
    Labels,
    categories_of,
    parse_category,
    parse_number,
    parse_ordinal,
    target,
)


@given(st.floats(0, 116).map(lambda age: round(age, 4)))
def test_age_of_reads_what_is_written(age: float) -> None:
    assert parse_ordinal("age", f"{age:.4f}", AGE) == pytest.approx(age, abs=1e-9)


@pytest.mark.parametrize("text", ["-1", "116.1", "9" * 400])
def test_age_of_refuses_what_the_distribution_cannot_hold(text: str) -> None:
    with pytest.raises(ValueError, match="not within 0 to 116"):
        parse_ordinal("age", text, AGE)


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
        *((text, "a range") for text in ("50-59", "3 - 9", "(25, 32)", "3\u20139", "70+")),
        *((text, "a range") for text in ("more than 70", ">70", "20 to 29", "over 60")),
        *((text, "a date, which Excel makes of a range") for text in ("9-Mar", "Oct-19")),
        *((text, "a date, which Excel makes of a range") for text in ("03. M\xe4r", "9. Sep")),
        *((text, "a date") for text in ("2026-03-09 00:00:00", "09/03/2026", "1.2.1980")),
    ],
)
def test_age_of_names_what_is_no_age(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^age {re.escape(repr(text))} is {kind}.*: give one"):
        parse_ordinal("age", text, AGE)


@pytest.mark.parametrize(
    ("text", "label"), [("30", "30"), ("29.0", "29"), ("2.9e1", "29"), ("4,50", "4.5"), ("0", "0")]
)
def test_a_number_has_one_normal_form(text: str, label: str) -> None:
    assert AGE_LABELS.parse(text) == label
    assert AGE_LABELS.parse(label) == label
    assert target(label, AGE) == float(label)


@given(st.floats(0, 116))
def test_the_normal_form_is_the_number(age: float) -> None:
    assert target(AGE_LABELS.parse(repr(age)), AGE) == pytest.approx(age, rel=1e-9)


def test_a_number_of_another_task_has_its_name_range_and_unit() -> None:
    labels = Labels("fingers", Ordinal(1, 5, "fingers"))
    assert labels.parse("5") == "5"
    for text in ("0", "6", "5.5"):
        with pytest.raises(ValueError, match=rf"^fingers {text} is not within 1 to 5$"):
            labels.parse(text)
    with pytest.raises(ValueError, match=r"^fingers '2-3' is a range: give one number of fingers$"):
        labels.parse("2-3")


@pytest.mark.parametrize("text", ["cross", " cross", "cross \n"])
def test_a_category_is_its_name_without_spaces_around_it(text: str) -> None:
    assert SHAPE_LABELS.parse(text) == "cross"
    assert target("cross", SHAPES) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "shape is missing"),
        ("  ", "shape is missing"),
        ("Cross", "shape 'Cross' is not one of circle, cross, square: did you mean 'cross'?"),
        ("sqare", "shape 'sqare' is not one of circle, cross, square: did you mean 'square'?"),
        ("7", "shape '7' is not one of circle, cross, square"),
        ("1e999", "shape '1e999' is not one of circle, cross, square"),
        ("a\tb", r"shape 'a\tb' cannot be printed: rename the class"),
        ("b\udce9", r"shape 'b\udce9' cannot be printed: rename the class"),
    ],
)
def test_what_is_no_category(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SHAPE_LABELS.parse(text)


@pytest.mark.parametrize(
    ("text", "label"), [("26", "26"), ("26.0", "26"), ("026", "26"), ("2.6e1", "26"), ("+5", "5")]
)
def test_a_number_as_a_category(text: str, label: str) -> None:
    assert parse_category("age", text, ("5", "26")) == label


@pytest.mark.parametrize("text", ["26.5", "25.9999", "27", "inf", "nan", "-26"])
def test_another_number_is_no_category(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^age '{re.escape(text)}' is not one of 5, 26"):
        parse_category("age", text, ("5", "26"))


def test_many_categories_are_not_all_named() -> None:
    names = [f"bird {i}" for i in range(525)]
    with pytest.raises(ValueError, match=r"is not one of bird 0, .*, bird 7 and 517 more$"):
        parse_category("species", "xyz", names)


@given(st.text(max_size=8))
def test_any_printable_text_may_be_a_category_of_the_data(text: str) -> None:
    stripped = text.strip()
    if stripped and stripped.isprintable():
        assert Labels("a", None).parse(text) == stripped
    else:
        with pytest.raises(ValueError, match=r"^a (is missing|.* cannot be printed)"):
            Labels("a", None).parse(text)


@given(st.lists(st.text("ab1.e+- ", min_size=1, max_size=4), min_size=1), st.text("ab1.e+- "))
def test_a_category_is_one_of_the_names_or_refused(names: list[str], text: str) -> None:
    names = [name.strip() for name in names if name.strip()]
    found = None
    with contextlib.suppress(ValueError):
        found = parse_category("a", text, names)
    assert found in [*names, None]
    assert (found is not None) >= (text.strip() in names)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "c", "a"], ("a", "b", "c")),
        (["10", "9", "2"], ("2", "9", "10")),
        (["x", "10", "9"], ("9", "10", "x")),
        (["del", "B", "A"], ("A", "B", "del")),
    ],
)
def test_the_labels_of_the_data_name_the_categories(
    labels: list[str], names: tuple[str, ...]
) -> None:
    assert categories_of(labels) == Categories(names)


@given(st.lists(st.integers(0, 10**6), min_size=2, unique=True))
def test_numbers_are_in_their_order(numbers: list[int]) -> None:
    assert categories_of(map(str, numbers)).names == tuple(map(str, sorted(numbers)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "the data has no labels: give images of two classes or more"),
        (["a", "a"], "the data has one class, 'a': give images of two or more"),
        (["Mask", "none", "mask"], "the classes 'Mask' and 'mask' differ in case alone: rename on"),
    ],
)
def test_data_that_names_no_categories(labels: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        categories_of(labels)
