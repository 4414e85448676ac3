from pathlib import Path

import pytest

from demo import options
from demo.options import Settings


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TS_INFERENCE_ADDRESS", options.KEY):
        monkeypatch.delenv(name, raising=False)
    expected = Settings("http://127.0.0.1:8080", ("age",), True, "127.0.0.1", None, None, "")
    assert options.read([]) == expected


def test_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(options.KEY, "secret")
    words = "--url https://example.org/faces/ --model-name age birds age --host 0.0.0.0"
    given = options.read([*words.split(), "--port", "7000", "--certificates", "ca.pem"])
    assert given == Settings(
        url="https://example.org:443/faces",
        models=("age", "birds"),
        starts_service=False,
        host="0.0.0.0",
        port=7000,
        certificates=Path("ca.pem"),
        key="secret",
    )


def test_asks_where_serve_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_INFERENCE_ADDRESS", "http://127.0.0.1:9000")
    given = options.read([])
    assert (given.url, given.starts_service) == ("http://127.0.0.1:9000", True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--url", "ftp://x"], "ftp://x is not of the form http://127.0.0.1:8080"),
        (["--port", "0"], "0 is no port: give 1 to 65535"),
        (["--port", "99999"], "99999 is no port: give 1 to 65535"),
        (["--model-name", "age=age.mar"], "'age=age.mar' is no model's name: give one such as age"),
        (["--model-name", ""], "'' is no model's name: give one such as age"),
    ],
)
def test_mistakes(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        options.read(words)
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(f"{line}\n")
