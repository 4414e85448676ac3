"""What the worst of each format takes, and that the measure sees what is taken."""

import math
import struct
import sys

import pytest

from bench import decoding_memory
from handler.imaging.decode import decode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.mark.parametrize("name", decoding_memory.KINDS)
def test_each_kind_is_what_it_says(name: str) -> None:
    body = decoding_memory.KINDS[name](70, 50)
    assert decode(body, 10_000).shape == ((70, 50, 3) if "turned" in name else (50, 70, 3))
    if name.startswith("PNG"):
        assert struct.unpack_from(">B", body, 28) == ("interlaced" in name,)
    if "progressive" in name:
        assert b"\xff\xc2" in body


def test_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(name: str, width: int, height: int) -> tuple[int, int]:
        asked.append((name, width * height))
        return 1_250_000, 7 * width * height

    monkeypatch.setattr(decoding_memory, "measured", measured)
    assert decoding_memory.main(["--only", "BMP, 2", "--megapixels", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "|---|---|---|",
        "| BMP, 24 bits | 1.2 | 7.0 |",
    ]
    assert decoding_memory.main(["--only", "BMP, r", "--most", "6.9"]) == 1
    assert capsys.readouterr().err == "error: 7.0 bytes, which is more than 6.9\n"
    assert [name for name, _ in asked] == ["BMP, 24 bits", "BMP, run-length encoded"]
    assert asked[1][1] <= 4_000_000
    assert math.isclose(asked[0][1], 3e6, rel_tol=0.01)


def test_of_no_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        decoding_memory.main(["--only", "TIFF"])
    assert ended.value.code == 2
    assert "error: --only TIFF: no such kind; there are JPEG, grey; " in capsys.readouterr().err
