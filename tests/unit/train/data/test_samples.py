import pytest

from train.data.samples import parse_split, split_by_hash


def test_split_by_hash_is_deterministic_and_near_its_fractions() -> None:
    keys = [f"{i}.jpg".encode() for i in range(2000)]
    splits = [split_by_hash(key) for key in keys]
    assert splits == [split_by_hash(key) for key in keys]
    assert 0.80 < splits.count("train") / 2000 < 0.88
    assert 0.06 < splits.count("val") / 2000 < 0.10


def test_parse_split_accepts_its_own_names() -> None:
    assert [parse_split(name) for name in ("train", "val", "test")] == ["train", "val", "test"]


@pytest.mark.parametrize("text", ["valid", "Validation", " VAL", "val "])
def test_a_split_has_other_names(text: str) -> None:
    assert parse_split(text) == "val"
