from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.train.tasks import AGE_LABELS
from train.data.readers import read
from train.data.samples import split_by_hash


def table(root: Path, *lines: str) -> Path:
    """A CSV file of these lines in `root`."""
    path = root / "faces.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_path_and_age_are_enough(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "sub/b, c.png"):
        (tmp_path / name).write_text(name)
    away = tmp_path / "a.jpg"
    samples, problems = read(
        "mine",
        table(tmp_path, "path,age", "a.jpg,30", '"sub/b, c.png",4.5', f"{away},31"),
        AGE_LABELS,
    )
    assert not problems
    assert [(r.path, r.label) for r in samples] == [
        (away, "30"), (tmp_path / "sub" / "b, c.png", "4.5"), (away, "31")
    ]  # fmt: skip
    assert [r.split for r in samples] == [
        split_by_hash(t) for t in (b"a.jpg", b"sub/b, c.png", b"a.jpg")
    ]
    assert {(r.source, r.tight, r.box) for r in samples} == {("mine", False, None)}


def test_every_column(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "age,group,x1,y1,x2,y2,split,path,remark",
        "30,ann,10,20.5,50,80,test,party.jpg,left",
        "40,bob,60,-2,99,80,train,party.jpg,right",
        "50,,,,,,val,bob.jpg",
    )
    samples, problems = read("mine", path, AGE_LABELS)
    assert not problems
    assert [(r.file, r.label, r.split, r.box) for r in samples] == [
        ("party.jpg#10,20.5,50,80", "30", "test", (10, 20.5, 50, 80)),
        ("party.jpg#60,-2,99,80", "40", "train", (60, -2, 99, 80)),
        ("bob.jpg", "50", "val", None),
    ]


def test_further_labels_of_the_task(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "path,age,Gender,mood,remark",
        "a.jpg,30,FEMALE,glad,x",
        "b.jpg,40,,sad,",
        "c.jpg,50,unsaid,Calm,male",
    )
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_text(name)
    names = {"gender": ("male", "female"), "Mood": ("glad", "calm")}
    samples, problems = read("mine", path, replace(AGE_LABELS, auxiliary=names))
    assert not problems
    assert [r.auxiliary for r in samples] == [
        {"gender": "female", "Mood": "glad"}, {}, {"Mood": "calm"}
    ]  # fmt: skip
    samples, _ = read("mine", path, AGE_LABELS)
    assert [r.auxiliary for r in samples] == [{}] * 3


def test_a_group_lies_in_one_split_whatever_the_order(tmp_path: Path) -> None:
    lines = [f"{i}.jpg,{i},{'abcdefgh'[i % 8]}" for i in range(80)]
    samples, problems = read("mine", table(tmp_path, "path,age,group", *lines), AGE_LABELS)
    again, _ = read("mine", table(tmp_path, "path,age,group", *reversed(lines)), AGE_LABELS)
    assert not problems
    splits = {(int(r.label) % 8, r.split) for r in samples}
    assert len(splits) == 8
    assert splits == {(int(r.label) % 8, r.split) for r in again}
    assert splits == {(i, split_by_hash("abcdefgh"[i].encode())) for i in range(8)}


@pytest.mark.parametrize(
    ("row", "file", "reason"),
    [
        (",30,,,,,train,", "row 2", "path is missing"),
        ("b.jpg,,,,,,train,", "b.jpg", "age is missing"),
        ("b.jpg,old,,,,,train,", "b.jpg", "age 'old' is not a number"),
        ("b.jpg,nan,,,,,train,", "b.jpg", "age 'nan' is not a number"),
        ("b.jpg,-1,,,,,train,", "b.jpg", "age -1 is not within 0 to 116"),
        ("b.jpg,30,,,,,dev,", "b.jpg", "split 'dev' is not one of train, val, test"),
        ("b.jpg,30,1,2,3,,train,", "b.jpg#1,2,3", "y2 is missing"),
        ("b.jpg,30,1,2,3,x,train,", "b.jpg#1,2,3,x", "y2 'x' is not a number"),
        ("b.jpg,30,9,9,5,12,train,", "b.jpg#9,9,5,12", "the box is empty; it is x1, y1, x2, y2"),
        ("b.jpg,30,,,,,test,ann", "b.jpg", "its group 'ann' is in train already, not in test"),
        ("a.jpg,31,,,,,train,", "a.jpg", "it is listed twice; the first one counts"),
        ("gone.jpg,31,,,,,,", "gone.jpg", "No such file or directory"),
        ("b.jpg", "b.jpg", "age is missing"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed(
    tmp_path: Path, row: str, file: str, reason: str
) -> None:
    header = "path,age,x1,y1,x2,y2,split,group"
    samples, problems = read(
        "mine", table(tmp_path, header, "a.jpg,20,,,,,train,ann", row), AGE_LABELS
    )
    assert [r.file for r in samples] == ["a.jpg"]
    assert [p.file for p in problems] == [file]
    assert reason in problems[0].reason
