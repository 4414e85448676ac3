import argparse
import sys

import pytest

from bench import compare, generator_capacity, memory, soak
from loadtests.options import add_options


def refused(capsys, parse, *words: str) -> str:
    """What the last line says of an option."""
    with pytest.raises(SystemExit) as ended:
        parse(*words)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].partition(": error: ")[2]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--arrivals", value) for value in ("-1", "nan", "inf", "many")),
        *(("--think", value) for value in ("-1", "nan")),
        *(("--requests", value) for value in ("-1", "1.5")),
        *(("--large", value) for value in ("-0.1", "2", "nan")),
        *(("--grpc-share", value) for value in ("-0.1", "2", "nan")),
        *(("--max-error-rate", value) for value in ("-0.1", "2", "nan")),
        *(("--max-p95", value) for value in ("0", "-1", "nan", "fast")),
        *(("--max-p99", value) for value in ("0", "inf")),
        *(("--min-rate", value) for value in ("-1", "nan")),
        *(("--mix", value) for value in ("two=1", "one", "one=0", "one=1,one=2", "")),
        *(("--grpc-host", value) for value in ("localhost", "http://localhost:7070/x", "")),
        ("--shape", "flat"),
    ],
)
def test_the_load_test_refuses(capsys, option, value):
    def parse(*words: str) -> None:
        parser = argparse.ArgumentParser("locust")
        add_options(parser)
        parser.parse_args(words)

    assert refused(capsys, parse, option, value).startswith(f"argument {option}: ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (generator_capacity, ["--users", "0"]),
        (generator_capacity, ["--seconds", "3"]),
        (generator_capacity, ["--workers", "0"]),
        (generator_capacity, ["--mix", "two=1"]),
        (generator_capacity, ["--large", "nan"]),
        (soak, ["--requests", "0"]),
        (soak, ["--users", "-1"]),
        (soak, ["--interval", "0"]),
        (soak, ["--interval", "nan"]),
        (soak, ["--mix", "one=-1"]),
        (memory, ["--requests", "9"]),
        (memory, ["--rest", "localhost"]),
        (memory, ["--management", "http://localhost:8081/?x=1"]),
        (compare, ["--rounds", "0"]),
        (compare, ["--workers", "0"]),
        (compare, ["--threads", "-1"]),
        (compare, ["--seconds", "inf"]),
        (compare, ["--mixes", "flat"]),
    ],
)
def test_the_others_refuse(capsys, monkeypatch, command, words):
    def parse(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["command", *words])
        command.main()

    needed = ["--photos", "."] if command is memory else []
    assert refused(capsys, parse, *needed, *words).startswith(f"argument {words[0]}: ")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--mixes", "photos", "large"], "--mixes photos large needs --photos"),
        (["--json", "nowhere/a.json"], "--json nowhere/a.json: there is no folder nowhere"),
    ],
)
def test_a_comparison_that_would_end_with_nothing(capsys, monkeypatch, words, reason):
    monkeypatch.setattr(sys, "argv", ["compare.py", *words])
    assert refused(capsys, lambda *_: compare.main()) == reason
