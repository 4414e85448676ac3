"""An archive that is taken holds the same for the Java that TorchServe runs on."""

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handler.zip_check import ZIP_ERRORS
from tests.unit.handler.zips import (
    HIDDEN,
    PLAIN,
    TAKEN,
    both,
    end_of_files,
    found,
    member,
    put,
    sha,
    spliced,
)


@dataclass
class Java:
    """Tells what ZipInputStream finds."""

    process: "subprocess.Popen[str]"
    file: Path

    def found(self, content: bytes) -> dict[str, str] | None:
        """The hash of each file; None where TorchServe would not load the archive."""
        self.file.write_bytes(content)
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{self.file}\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if any(word.startswith("!") for word in words):
            return None
        pairs = [word.split("=") for word in words]
        assert len(dict(pairs)) == len(pairs)
        return {bytes.fromhex(name).decode(): found for name, found in pairs}


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Java]:
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("there is no Java compiler")
    folder = tmp_path_factory.mktemp("java")
    source = Path(__file__).with_name("Unzip.java")
    subprocess.run([compiler, "-d", str(folder), str(source)], check=True)
    command = [str(Path(compiler).with_name("java")), "-cp", str(folder), "Unzip"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Java(process, folder / "a.zip")
        assert process.stdin
        process.stdin.close()


@pytest.mark.parametrize("content", TAKEN.values(), ids=TAKEN)
def test_java_finds_the_same(content: bytes, java: Java) -> None:
    assert java.found(content) == found(content)


def test_java_finds_what_is_hidden(java: Java) -> None:
    """So that it is the right thing to be compared with."""
    hidden = spliced(PLAIN, end_of_files(PLAIN), member("age_handler2.py"))
    assert (java.found(hidden) or {})["age_handler2.py"] == sha(HIDDEN)


NAMES = st.sampled_from(
    ["torchserve_handler.py", "AGE.pt", "x.py", "handler/x.py", "./age.pt", "x/"]
)
NUMBERS = st.sampled_from([0, 1, 2, 8, 9, 255, 2048, 65535])
Change = Callable[[bytes], bytes]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One thing that somebody may do to an archive."""
    kind = draw(st.sampled_from(["member", "bytes", "header", "both", "cut"]))
    part = draw(st.floats(0, 1))
    more = member(draw(NAMES), flags=draw(st.sampled_from([0, 8, 2048])))
    junk = draw(st.binary(max_size=6))
    field = draw(st.integers(4, 28))
    value = struct.pack("<H", draw(NUMBERS))

    def change(content: bytes) -> bytes:
        at = int(part * len(content))
        try:
            if kind == "member":
                starts = [i for i in range(len(content)) if content[i : i + 4] == b"PK\3\4"]
                places = [*starts, end_of_files(content)]
                return spliced(content, places[int(part * (len(places) - 1))], more)
            if kind == "header":
                return put(content, b"PK\3\4" if part < 0.5 else b"PK\1\2", field, value)
            if kind == "both":
                return both(content, field, value)
        except (IndexError, *ZIP_ERRORS):
            return content  # an earlier change has left nothing of it
        if kind == "bytes":
            return content[:at] + junk + content[at + len(junk) :]
        return content[:at] + content[at + len(junk) :]

    return change


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(TAKEN.values())), st.lists(changes(), max_size=3))
def test_what_is_taken_is_the_same_for_java(
    java: Java, content: bytes, chosen: list[Change]
) -> None:
    for change in chosen:
        content = change(content)
    ours = found(content)
    if ours is not None:
        assert java.found(content) == ours
