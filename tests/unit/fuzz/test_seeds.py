"""The fuzzers' assertions hold for their seeds, and the seeds are those of the table."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.checks import check_decoding, check_request, row_and_headers
from handler.requests import parse
from tests.images import encoded, scene
from tests.unit.fuzz import seeds

FILES = {name: sorted((seeds.FOLDER / name).iterdir()) for name in ("decode", "parse")}


@pytest.mark.parametrize("seed", FILES["decode"], ids=lambda path: path.name)
def test_file(seed: Path) -> None:
    check_decoding(seed.read_bytes())


@pytest.mark.parametrize("seed", FILES["parse"], ids=lambda path: path.name)
def test_request(seed: Path) -> None:
    check_request(seed.read_bytes())


@given(st.sampled_from(FILES["parse"]), st.binary(max_size=20), st.integers(0, 2000))
def test_request_with_something_else_in_it(seed: Path, other: bytes, at: int) -> None:
    message = seed.read_bytes()
    check_request(message[:at] + other + message[at + len(other) :])


def test_how_requests_are_written() -> None:
    photograph = encoded(scene(2, 2), "GIF")
    found = dict(seeds.of_requests())
    for name in ("JSON: base64", "type image/png", "option max_faces=0 as parts"):
        row, headers = row_and_headers(found[name])
        if name.startswith("option"):
            assert row == {"data": photograph, "max_faces": b"0"}
        else:
            assert parse(row, headers).image == photograph


def test_few_and_small() -> None:
    """They are in the repository."""
    assert all(len(files) > 50 for files in FILES.values())
    assert sum(path.stat().st_size for files in FILES.values() for path in files) < 200_000


def test_written_anew(tmp_path: Path) -> None:
    seeds.write(tmp_path / "parse", seeds.of_requests())
    assert {path.name: path.read_bytes() for path in (tmp_path / "parse").iterdir()} == {
        path.name: path.read_bytes() for path in FILES["parse"]
    }
