from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.train.conftest import CHIPS, ages
from tests.unit.train.tasks import AGE_LABELS
from train.data.readers import read, utkface
from train.data.samples import Sample

Label = tuple[int | None, int | None]
TIME = "20170116174525125"


def touch(root: Path, *names: str) -> None:
    """Write files that all differ; these tests do not decode them."""
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)


def codes(sample: Sample) -> Label:
    """The codes of gender and race in the name of the sample's file."""
    gender, race = (sample.auxiliary.get(name) for name in ("gender", "race"))
    return (
        None if gender is None else utkface.GENDERS.index(gender),
        None if race is None else utkface.RACES.index(race),
    )


def test_split_tables(utkface: Path) -> None:
    samples, problems = read("utkface", utkface, AGE_LABELS)
    assert not problems
    assert Counter(r.split for r in samples) == {"train": 12, "val": 6, "test": 6}
    assert sorted(int(r.label) for r in samples) == sorted(ages(CHIPS))
    assert all(r.tight and r.source == "utkface" and r.path.is_file() for r in samples)


def test_a_file_in_two_tables_is_counted_once_and_listed(tmp_path: Path) -> None:
    names = [f"{age}_0_0_{TIME}.jpg.chip.jpg" for age in (20, 30)]
    (tmp_path / "train.csv").write_text("\n".join(["file,age", f"{names[1]},30"]))
    (tmp_path / "test.csv").write_text("\n".join(["file,age", *(f"{n},1" for n in names)]))
    samples, problems = read("utkface", tmp_path, AGE_LABELS)
    assert [(r.file, r.split) for r in samples] == [(names[0], "test"), (names[1], "test")]
    assert [(p.file, p.reason) for p in problems] == [
        (names[1], "it is listed twice; the first one counts")
    ]


@pytest.mark.parametrize(
    ("name", "age", "gender", "race"),
    [
        ("100_1_0_20170110183726390.jpg.chip.jpg", 100, 1, 0),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", 24, 0, 1),
        ("39_1_20170116174525125.jpg.chip.jpg", 39, 1, None),
        ("61_1_20170109142408075.jpg.chip.jpg", 61, 1, None),
        ("61_3_20170109150557335.jpg.chip.jpg", 61, None, 3),
        ("53__0_20170116184028385.jpg.chip.jpg", 53, None, 0),
        ("14_0_0_2017011022340900.jpg.chip.jpg", 14, 0, 0),
        ("28_1_2_201701161846515488.jpg.chip.jpg", 28, 1, 2),
        ("55_0_0_20170116232725357jpg.chip.jpg", 55, 0, 0),
        ("44_1_4_20170116235150272.pg.chip.jpg", 44, 1, 4),
        ("7_20170110183726390.jpg.chip.jpg", 7, None, None),
    ],
)
def test_labels_come_from_the_name(
    tmp_path: Path, name: str, age: float, gender: int | None, race: int | None
) -> None:
    touch(tmp_path, name)
    (sample,), problems = read("utkface", tmp_path, AGE_LABELS)
    assert (sample.file, sample.path) == (name, tmp_path / name)
    assert (float(sample.label), codes(sample)) == (age, (gender, race))
    assert not problems


@given(
    age=st.integers(0, 116),
    labels=st.one_of(
        st.tuples(st.integers(0, 1), st.integers(0, 4)),
        st.tuples(st.integers(0, 1), st.none()),
        st.tuples(st.none(), st.integers(2, 4)),
    ),
    time=st.integers(10**16, 10**17 - 1),
)
def test_every_name_is_read_back(age: int, labels: Label, time: int) -> None:
    fields = [str(field) for field in (age, *labels, time) if field is not None]
    found = utkface._NAME.match("_".join(fields) + ".jpg.chip.jpg")
    assert found is not None
    read_back = [int(found[k]) if found[k] else None for k in ("age", "gender", "race")]
    assert read_back == [age, *labels]


def test_what_has_no_label_is_listed(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "20_0_0_20170101.jpg",
        "face.jpg",
        "12_25.jpg",
        "150_0_0_20170101.jpg",
        ".DS_Store",
    )
    samples, problems = read("utkface", tmp_path, AGE_LABELS)
    assert [r.file for r in samples] == ["20_0_0_20170101.jpg"]
    assert {p.file: p.reason for p in problems} == {
        "face.jpg": "the name does not hold age_gender_race_time",
        "12_25.jpg": "the name does not hold age_gender_race_time",
        "150_0_0_20170101.jpg": "age 150 is not within 0 to 116",
    }


def test_copies_of_an_image_under_other_names_lie_in_one_split(tmp_path: Path) -> None:
    for image in range(20):
        for age in (20, 30, 40):
            name = f"{age}_0_0_{20170116174525000 + image}.jpg.chip.jpg"
            (tmp_path / name).write_bytes(b"image %d" % image)
    samples, _ = read("utkface", tmp_path, AGE_LABELS)
    splits = Counter((r.path.read_bytes(), r.split) for r in samples)
    assert set(splits.values()) == {3}
    assert len({split for _, split in splits}) > 1


def test_in_the_wild(tmp_path: Path) -> None:
    name = f"26_1_3_{TIME}.jpg"
    touch(tmp_path, f"part1/{name}", f"part2/{name}", f"part3/1_0_2_{TIME}.jpg", "part3/x.jpg")
    samples, problems = read("utkface_wild", tmp_path, AGE_LABELS)
    assert [(r.file, int(r.label), *codes(r)) for r in samples] == [
        (f"part1/{name}", 26, 1, 3),
        (f"part2/{name}", 26, 1, 3),
        (f"part3/1_0_2_{TIME}.jpg", 1, 0, 2),
    ]
    assert not any(r.tight for r in samples)
    assert {(r.source, r.path.is_file()) for r in samples} == {("utkface_wild", True)}
    assert [p.file for p in problems] == ["part3/x.jpg"]
