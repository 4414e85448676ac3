"""commands/capacity.py: the formula, what it reads, and what it refuses."""

import json
import sys
from pathlib import Path

import pytest

from bench.comparison.systems import OURS
from commands import capacity
from commands.capacity import Machine, Measured, plan
from server.errors import CommandError
from tests.torchserve import ROOT


def benchmark(folder: Path, gpu: str | None = None) -> Path:
    """What bench.compare writes, of two systems and two mixes."""
    results = [
        {"mix": mix, "system": system, "images_per_second": images, "peak_memory_mib": 1000.0}
        for mix, system, images in (
            ("512 px, one face", "naive", 16.0),
            ("512 px, one face", OURS, 70.0),
            ("12 megapixels", OURS, 14.0),
        )
    ]
    file = folder / "compare.json"
    file.write_text(json.dumps({"machine": {"cores": 2, "gpu": gpu}, "results": results}))
    return file


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["face-age capacity", *map(str, words)])
    return capacity.main()


def test_the_system_is_the_benchmark_s_name_for_the_service() -> None:
    assert capacity.SYSTEM == OURS


def test_the_queue_s_memory_is_java_s() -> None:
    assert f" -Xmx{capacity.QUEUE:.0f}g " in (ROOT / "config.properties").read_text()


def test_the_formula() -> None:
    """70 a second on 2 cores are 280 on 8, of which half is used: 140 for each machine."""
    found = plan(1000, Measured(70, 2, 1.5), Machine(8, load=0.5, spare=1, price=0.4))
    assert found.machines == 8 + 1  # 1000 / 140 = 7.1
    assert found.units == 72
    assert found.memory == 1.5 / 2 * 8 + 3
    assert found.per_hour == pytest.approx(3.6)
    assert found.per_month == pytest.approx(3.6 * 730)
    assert found.per_million == pytest.approx(3.6 / 3.6)


def test_what_fits_exactly_takes_no_further_machine() -> None:
    measured = Measured(0.1, 1, None)
    assert plan(0.3, measured, Machine(1, load=1, spare=0, price=None)).machines == 3


def test_a_benchmark_is_read(tmp_path: Path) -> None:
    file = benchmark(tmp_path)
    assert Measured.read(file, None, None) == Measured(70, 2, 1000 * 2**20 / 1e9)
    assert Measured.read(file, "12 megapixels", None).images == 14
    gpus = benchmark(tmp_path, "a GPU")
    assert Measured.read(gpus, None, 4).units == 4
    with pytest.raises(CommandError, match="say on how many by --gpus"):
        Measured.read(gpus, None, None)


@pytest.mark.parametrize(
    ("text", "mix", "line"),
    [
        ("no JSON", None, "is no file of python -m bench.compare --json"),
        ("[]", None, "is no file of python -m bench.compare --json"),
        ("{}", None, "has no machine: give a file of python -m bench.compare"),
        ('{"machine": {"cores": 2, "gpu": null}, "results": []}', None, "with the system ours"),
        (None, "5 megapixels", "has no 5 megapixels: .* one of its mixes"),
    ],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, text: str | None, mix: str | None, line: str
) -> None:
    file = benchmark(tmp_path)
    if text is not None:
        file.write_text(text)
    with pytest.raises(CommandError, match=line.replace("ours", OURS)):
        Measured.read(file, mix, None)


def test_a_table_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--machine-cores", 16, "--price", 0.6, "--currency", "EUR", "--rates", 10, 1000]
    assert run(monkeypatch, "--benchmark", benchmark(tmp_path), *words) == 0
    first, head, *rows = capsys.readouterr().out.splitlines()
    assert first == (
        "measured: 70 images/s at saturation on 2 cores; a machine: 16 cores, used at 50%; 1 spare"
    )
    assert [" ".join(line.split()) for line in (head, *rows)] == [
        "images/s machines cores GB of memory, each EUR an hour EUR a month "
        "EUR for a million images",
        "10 2 32 11.4 1.20 876 33.33",
        "1,000 5 80 11.4 3.00 2,190 0.83",
    ]


def test_a_table_without_memory_and_prices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--gpus", 1, "--machine-gpus", 4, "--load", 1, "--spare", 0, "--rates", 100_000]
    assert run(monkeypatch, "--images-per-second", 500, *words) == 0
    _, head, row = capsys.readouterr().out.splitlines()
    assert (head.split(), row.split()) == (
        ["images/s", "machines", "GPUs"],
        ["100,000", "50", "200"],
    )


def test_a_missing_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "none.json"
    assert run(monkeypatch, "--benchmark", file) == 1
    assert capsys.readouterr().err == f"error: {file}: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "one of the arguments --benchmark --images-per-second is required"),
        (["--images-per-second", "0"], "0 is not a number above 0"),
        (["--images-per-second", "9"], "needs --cores or --gpus of the machine that was measured"),
        (["--benchmark", "a.json", "--cores", "2"], "leave --cores out"),
        (["--images-per-second", "9", "--gpus", "1", "--machine-cores", "4"], "--machine-gpus"),
        (["--images-per-second", "9", "--cores", "1", "--machine-gpus", "4"], "needs --gpus"),
        (["--images-per-second", "9", "--cores", "1", "--mix", "a"], "one of a --benchmark"),
        (["--images-per-second", "9", "--cores", "1", "--price", "1"], "belong together"),
        (["--images-per-second", "9", "--cores", "1", "--currency", "EUR"], "belong together"),
        (["--images-per-second", "9", "--cores", "1", "--load", "1.1"], "from 0.01 to 1"),
    ],
)
def test_wrong_use_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *words)
    assert end.value.code == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
