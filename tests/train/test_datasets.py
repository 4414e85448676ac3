from collections import Counter
from pathlib import Path

import pytest

from tests.train.conftest import CHIPS, WILD, ages
from train.datasets import read


def test_utkface_with_split_tables(utkface: Path) -> None:
    records, problems = read("utkface", utkface)
    assert not problems
    assert Counter(r.split for r in records) == {"train": 12, "val": 6, "test": 6}
    assert sorted(r.age for r in records) == sorted(ages(CHIPS))
    assert all(r.tight and r.source == "utkface" and r.path.is_file() for r in records)


@pytest.mark.parametrize(
    ("name", "age", "gender", "race"),
    [
        ("100_1_0_20170110183726390.jpg.chip.jpg", 100, 1, 0),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", 24, 0, 1),
        ("61_1_20170109142408075.jpg.chip.jpg", 61, 1, None),
        ("55_0_0_20170116232725357jpg.chip.jpg", 55, 0, 0),
    ],
)
def test_utkface_labels_come_from_the_name(
    tmp_path: Path, name: str, age: float, gender: int, race: int | None
) -> None:
    (tmp_path / name).touch()
    (record,), problems = read("utkface", tmp_path)
    assert (record.age, record.gender, record.race) == (age, gender, race)
    assert not problems


def test_utkface_lists_what_has_no_label(tmp_path: Path) -> None:
    for name in ("20_0_0_20170101.jpg", "face.jpg", "150_0_0_20170101.jpg"):
        (tmp_path / name).touch()
    records, problems = read("utkface", tmp_path)
    assert [r.path.name for r in records] == ["20_0_0_20170101.jpg"]
    assert {p.path.name: p.reason for p in problems} == {
        "face.jpg": "the name does not hold age_gender_race_time",
        "150_0_0_20170101.jpg": "age 150 is not within 0 to 116",
    }


def test_appa_real_with_a_table_of_labels(appa_real: Path) -> None:
    records, problems = read("appa_real", appa_real)
    assert not problems
    assert [r.age for r in records] == ages(WILD)
    assert Counter(r.split for r in records) == {"train": 8, "val": 4, "test": 4}
    assert not any(r.tight for r in records)


def test_appa_real_as_it_is_released(tmp_path: Path) -> None:
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    for part, age in (("train", 20), ("valid", 30), ("test", 40)):
        (tmp_path / f"gt_avg_{part}.csv").write_text(f"{header}000001.jpg,38,21.5,3.2,{age}\n")
    records, _ = read("appa_real", tmp_path)
    assert [(r.split, r.age) for r in records] == [("train", 20), ("val", 30), ("test", 40)]
    assert records[1].path == tmp_path / "valid" / "000001.jpg_face.jpg"


def test_appa_real_lists_rows_without_an_age_or_a_split(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,real_age,split\na.jpg,,train\nb.jpg,9,x\nc.jpg,9,val\n"
    )
    records, problems = read("appa_real", tmp_path)
    assert [r.path.name for r in records] == ["c.jpg"]
    assert [p.path.name for p in problems] == ["a.jpg", "b.jpg"]
    assert problems[1].reason == "split 'x' is not one of train, val, test"


def test_read_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no reader for data set 'imdb'; there are appa_real"):
        read("imdb", tmp_path)
    with pytest.raises(
        ValueError, match=r"utkface: no labelled picture in .*data\.sources\.utkface"
    ):
        read("utkface", tmp_path)
    with pytest.raises(ValueError, match=r"gt_avg_train\.csv is missing; set data\.sources"):
        read("appa_real", tmp_path)
