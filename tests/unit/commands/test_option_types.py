import argparse

import pytest

from commands.option_types import real, whole


@pytest.mark.parametrize(
    ("read", "text", "number"),
    [
        (whole(1), "1", 1),
        (whole(0, 5), "5", 5),
        (real(0), "0", 0.0),
        (real(0, above=True), "1e-3", 0.001),
        (real(0, 1), "1", 1.0),
    ],
)
def test_numbers(read, text, number):
    assert read(text) == number


@pytest.mark.parametrize(
    ("read", "wanted"),
    [
        (whole(1), "a whole number of 1 or more"),
        (whole(1, 1000), "a whole number from 1 to 1000"),
        (real(1), "a number of 1 or more"),
        (real(0, above=True), "a number above 0"),
        (real(0.5, 1), "a number from 0.5 to 1"),
    ],
)
@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "-inf", "many", "", "1e999"])
def test_no_numbers(read, wanted, text):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        read(text)
    assert str(error.value) == f"{text} is not {wanted}"
