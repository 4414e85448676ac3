"""A folder per class, in splits or without."""

from collections import Counter
from pathlib import Path

import pytest

from tests.unit.train.tasks import SHAPE_LABELS
from train.data.labels import Labels
from train.data.readers import read
from train.data.samples import split_by_hash

ANY = Labels("shape", None)


def touch(root: Path, *names: str) -> None:
    """Write files that all differ; these tests do not decode them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def many(root: Path, folder: str, count: int = 60) -> None:
    touch(root, *(f"{folder}/{i}.jpg" for i in range(count)))


def test_without_splits_a_checksum_draws_them(tmp_path: Path) -> None:
    many(tmp_path, "circle")
    many(tmp_path, "cross")
    samples, problems = read("mine", tmp_path, SHAPE_LABELS)
    assert not problems
    assert [r.file for r in samples] == sorted(
        f"{name}/{i}.jpg" for name in ("circle", "cross") for i in range(60)
    )
    assert all(r.label == r.path.parent.name and r.source == "mine" for r in samples)
    assert [r.split for r in samples] == [split_by_hash(r.file.encode()) for r in samples]
    assert {r.split for r in samples} == {"train", "val", "test"}
    assert {r.tight for r in samples} == {False}


def test_images_may_fill_the_frame(tmp_path: Path) -> None:
    touch(tmp_path, "circle/a.jpg")
    (sample,), _ = read("mine", tmp_path, SHAPE_LABELS, tight=True)
    assert sample.tight


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Validation", "VAL"])
def test_three_splits_are_kept(tmp_path: Path, val: str) -> None:
    for folder in ("train", val, "test"):
        many(tmp_path, f"{folder}/cross", 20)
    samples, _ = read("mine", tmp_path, SHAPE_LABELS)
    found = Counter((r.split, r.file.partition("/")[0]) for r in samples)
    assert found == {("train", "train"): 20, ("val", val): 20, ("test", "test"): 20}


@pytest.mark.parametrize(("names", "missing"), [(("train", "test"), "val"), (("training",), "")])
def test_missing_splits_are_drawn_from_the_training_images(
    tmp_path: Path, names: tuple[str, ...], missing: str
) -> None:
    for folder in names:
        many(tmp_path, f"{folder}/cross", 100)
    samples, _ = read("mine", tmp_path, SHAPE_LABELS)
    drawn = Counter(r.split for r in samples if r.file.startswith("train"))
    given = Counter(r.split for r in samples if not r.file.startswith("train"))
    assert given == ({"test": 100} if missing else {})
    assert drawn.keys() == {"train", "val"} | (set() if missing else {"test"})
    assert 80 <= drawn["train"] <= 98


def test_without_training_images_a_split_stays_what_it_is(tmp_path: Path) -> None:
    many(tmp_path, "test/cross", 20)
    samples, _ = read("mine", tmp_path, SHAPE_LABELS)
    assert Counter(r.split for r in samples) == {"test": 20}


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "val/cross/a.jpg", "valid/cross/b.jpg")
    with pytest.raises(
        ValueError, match=r"^mine: the folders val and valid are both of the split val: put "
    ):
        read("mine", tmp_path, SHAPE_LABELS)


@pytest.mark.parametrize("above", ["", "train/"])
def test_copies_of_an_image_share_a_split(tmp_path: Path, above: str) -> None:
    for image in range(100):
        for name in ("circle", "cross", "square"):
            path = tmp_path / f"{above}{name}" / f"{name}{image}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"image %d" % image)
    samples, _ = read("mine", tmp_path, SHAPE_LABELS)
    splits = Counter((r.path.read_bytes(), r.split) for r in samples)
    assert set(splits.values()) == {3}
    assert len({split for _, split in splits}) == 3


def test_hidden_files_and_folders_are_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "cross/a.jpg", "cross/.DS_Store", ".cache/a.jpg", ".train/cross/a.jpg")
    samples, problems = read("mine", tmp_path, SHAPE_LABELS)
    assert [r.file for r in samples] == ["cross/a.jpg"]
    assert not problems
    assert not caplog.messages


@pytest.mark.parametrize("above", ["", "train/"])
def test_deeper_folders_and_files_above_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, above: str
) -> None:
    touch(tmp_path, *(f"{above}{name}" for name in ("cross/a.jpg", "cross/deep/b.jpg", "c.jpg")))
    samples, _ = read("mine", tmp_path, SHAPE_LABELS)
    assert [r.file for r in samples] == [f"{above}cross/a.jpg"]
    folder = tmp_path / above
    assert caplog.messages == [
        f"{folder}: 2 of its entries are skipped, because images are expected as */*: "
        "c.jpg, cross/deep"
    ]


def test_folders_beside_splits_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They may be classes, one of which has the name of a split."""
    touch(tmp_path, "train/cross/a.jpg", "bus/b.jpg", "images to predict/c.jpg", "birds.csv")
    samples, _ = read("mine", tmp_path, SHAPE_LABELS)
    assert [r.file for r in samples] == ["train/cross/a.jpg"]
    assert caplog.messages == [
        f"{tmp_path}: bus, images to predict are skipped, because the folder train is a split"
    ]


def test_labels_are_those_of_the_task(tmp_path: Path) -> None:
    touch(tmp_path, "circle/a.jpg", "Cross/b.jpg", "blob/c.jpg")
    samples, problems = read("mine", tmp_path, SHAPE_LABELS)
    assert [r.label for r in samples] == ["circle"]
    known = "is not one of circle, cross, square"
    assert {p.file: p.reason for p in problems} == {
        "Cross/b.jpg": f"shape 'Cross' {known}: did you mean 'cross'?",
        "blob/c.jpg": f"shape 'blob' {known}",
    }
    samples, problems = read("mine", tmp_path, ANY)
    assert [r.label for r in samples] == ["Cross", "blob", "circle"]
    assert not problems


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ([], "CLASS/IMAGE"),
        (["a.jpg", "b.jpg"], "CLASS/IMAGE"),
        (["train/a.jpg", "test/b.jpg"], "test/CLASS/IMAGE"),
        (["pictures/cross/more/a.jpg"], "CLASS/IMAGE"),
    ],
)
def test_without_folders_of_classes_it_says_where_images_belong(
    tmp_path: Path, files: list[str], place: str
) -> None:
    touch(tmp_path, *files)
    with pytest.raises(
        ValueError,
        match=f"^mine: {tmp_path} has no image in the folder of a class: .* at {place} there",
    ):
        read("mine", tmp_path, ANY)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^mine: .*gone is missing; set data\.sources\.mine$"):
        read("mine", tmp_path / "gone", ANY)
