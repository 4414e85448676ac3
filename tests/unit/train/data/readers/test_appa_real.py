from collections import Counter
from pathlib import Path

import pytest

from tests.unit.train.conftest import WILD, ages
from tests.unit.train.tasks import AGE_LABELS
from train.data.readers import read


def test_a_table_of_labels(appa_real: Path) -> None:
    samples, problems = read("appa_real", appa_real, AGE_LABELS)
    assert not problems
    assert [r.label for r in samples] == [str(age) for age in ages(WILD)]
    assert Counter(r.split for r in samples) == {"train": 8, "val": 4, "test": 4}
    assert not any(r.tight for r in samples)


def test_as_it_is_released(tmp_path: Path) -> None:
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    for i, (part, age) in enumerate((("train", 20), ("valid", 30), ("test", 40))):
        (tmp_path / f"gt_avg_{part}.csv").write_text(f"{header}00000{i}.jpg,38,21.5,3.2,{age}\n")
    samples, _ = read("appa_real", tmp_path, AGE_LABELS)
    assert [(r.split, r.label) for r in samples] == [("train", "20"), ("val", "30"), ("test", "40")]
    assert samples[1].path == tmp_path / "valid" / "000001.jpg_face.jpg"
    assert samples[1].file == "000001.jpg_face.jpg"
    assert samples[1].votes == (21.5, 3.2)


def test_what_people_guessed_is_read_from_a_table_beside_the_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,real_age,split\na.jpg,9,train\nb.jpg,30,val\nc.jpg,40,test\n"
    )
    (tmp_path / "votes.csv").write_text(
        "file,apparent_age,apparent_std,split\na.jpg,12,1.5,train\nb.jpg,,,val\n"
    )
    samples, _ = read("appa_real", tmp_path, AGE_LABELS)
    assert [r.votes for r in samples] == [(12.0, 1.5), None, None]


def test_a_guess_that_is_no_number_is_listed(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,real_age,split\na.jpg,9,train\nb.jpg,9,val\n")
    (tmp_path / "votes.csv").write_text("file,apparent_age,apparent_std\na.jpg,old,1.5\n")
    _, problems = read("appa_real", tmp_path, AGE_LABELS)
    assert [(p.file, p.reason) for p in problems] == [
        ("a.jpg", "apparent_age 'old' is not a number")
    ]


def test_rows_without_an_age_or_a_split_are_listed(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,real_age,split\na.jpg,,train\nb.jpg,9,x\nc.jpg,9,val\nd.jpg\n"
    )
    samples, problems = read("appa_real", tmp_path, AGE_LABELS)
    assert [r.file for r in samples] == ["c.jpg"]
    assert [(p.file, p.reason) for p in problems] == [
        ("a.jpg", "age is missing"),
        ("b.jpg", "split 'x' is not one of train, val, test"),
        ("d.jpg", "age is missing"),
    ]


def test_a_release_without_a_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gt_avg_train\.csv is missing; set data\.sources"):
        read("appa_real", tmp_path, AGE_LABELS)
