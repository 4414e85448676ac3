import sys

import pytest

from commands import predict
from handler import options


def ended_with(capsys, monkeypatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["predict.py", *words])
    with pytest.raises(SystemExit) as ended:
        predict.arguments()
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("predict.py: error: argument ")


def test_an_empty_name_is_not_the_folder_that_one_is_in(capsys, monkeypatch):
    line = ended_with(capsys, monkeypatch, "")
    assert line == "PHOTO: an empty name is no file"
    line = ended_with(capsys, monkeypatch, "a.jpg", "--annotate", "")
    assert line == "--annotate: an empty name is no file"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model-name", ""], "--model-name: an empty name is no model's name"),
        (["--model-name", "a\n"], "--model-name: a\\n is no model's name"),
        (["--attributes", ""], "--attributes:  is not of the form age,emotion"),
        (
            ["--attributes", "age, emotion"],
            "--attributes: age, emotion is not of the form age,emotion",
        ),
        (["--distribution"], "--distribution: it needs --json"),
        (["--quality"], "--quality: it needs --json"),
        (["--relative"], "--relative: it needs --json"),
    ],
)
def test_words_that_make_no_sense(words, line, capsys, monkeypatch):
    assert ended_with(capsys, monkeypatch, "a.jpg", *words) == line


def test_an_empty_address_is_not_the_default(monkeypatch):
    for words in ([], ["--grpc"]):
        monkeypatch.setattr(sys, "argv", ["predict.py", "a.jpg", "--url", "", *words])
        with pytest.raises(ValueError, match="is not of the form"):
            predict.connector(predict.arguments())


@pytest.mark.parametrize(
    ("option", "numbers", "key"),
    [
        ("--max-faces", ("0", "1001", "5000", "1.5", "nan"), "max_faces"),
        ("--min-confidence", ("-0.1", "7", "nan", "sure"), "min_confidence"),
        ("--top-k", ("0", "1001", "x"), "top_k"),
    ],
)
def test_options_have_the_ranges_of_the_service(option, numbers, key, capsys, monkeypatch):
    allowed = options._KINDS[key]
    for number in numbers:
        line = ended_with(capsys, monkeypatch, "a.jpg", option, number)
        assert line == f"{option}: {number} is not {allowed}"
    for number in (allowed.low, allowed.high):
        monkeypatch.setattr(sys, "argv", ["predict.py", "a.jpg", option, str(number)])
        assert getattr(predict.arguments(), key) == number
