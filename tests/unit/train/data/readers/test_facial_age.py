from pathlib import Path

import pytest

from tests.unit.train.tasks import AGE_LABELS
from train.data.readers import read


def test_the_folder_is_the_age(tmp_path: Path) -> None:
    for folder, name in (("001", "123.png"), ("110", "123.png"), ("035", "9.png"), ("117", "1.png"),
                         ("faces", "2.png"), ("035", ".hidden")):  # fmt: skip
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(folder)
    samples, problems = read("facial_age", tmp_path, AGE_LABELS)
    assert [(r.file, r.label) for r in samples] == [
        ("001/123.png", "1"),
        ("035/9.png", "35"),
        ("110/123.png", "110"),
    ]
    assert all(r.tight and r.source == "facial_age" and r.path.is_file() for r in samples)
    assert [(p.file, p.reason) for p in problems] == [
        ("117/1.png", "age 117 is not within 0 to 116"),
        ("faces/2.png", "age 'faces' is not a number"),
    ]


def test_a_folder_above_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "face_age" / "001").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no labelled image in .*; set data\.sources\.facial"):
        read("facial_age", tmp_path, AGE_LABELS)
