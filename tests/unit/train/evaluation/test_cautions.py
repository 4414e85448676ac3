import dataclasses
from pathlib import Path

import numpy as np
import pytest

from handler.contract import OrdinalCalibration
from tests.unit.train.conftest import SIZE, configuration
from train.configuration.settings import prepared_folders
from train.data.cache import read_shards, write_shard
from train.data.dataset import CropDataset
from train.evaluation.cautions import cautions, copied, same_people
from train.evaluation.metrics import Figures, Measured
from train.evaluation.ordinal import AGE, AGES
from train.evaluation.results import Results


def figures(count: int) -> Figures:
    return {"mae": Measured(5.0, 4.0, 6.5, count)}


def results(count: int = 1000) -> Results:
    """Of a data set of so many test faces, half of them in one decade."""
    return Results(
        AGE,
        OrdinalCalibration(0.9, (0, 116), (-1, -1), (1, 1)),
        {"own": figures(count)},
        {"own": {"30-39": figures(count // 2)}},
        auxiliary={"gender": {"own": {"male": figures(count)}}, "race": {"own": {}}},
    )


def test_many_faces_give_no_warning() -> None:
    many = {"all": 900} | {f"{start}-{start + 9}": 30 for start in range(0, 80, 10)}
    assert cautions(dataclasses.replace(results(), calibrated_on=many)) == []
    assert cautions(results(400)) == []


@pytest.mark.parametrize(("count", "points"), [(25, 11), (100, 6), (899, 2)])
def test_an_interval_of_few_faces_is_no_promise(count: int, points: int) -> None:
    """The coverage of a split-conformal interval has a Beta distribution."""
    generator = np.random.default_rng(0)
    held = generator.beta(0.9 * (count + 1), 0.1 * (count + 1), 100_000)
    assert 196 * held.std() == pytest.approx(points, abs=0.6)
    (line, *_) = cautions(dataclasses.replace(results(), calibrated_on={"all": count}))
    assert line == (
        f"age_interval is calibrated on {count} validation faces: on other faces its coverage may "
        f"be {points} points above or below the target of 90%; with 900, 2 points"
    )


def test_ages_that_no_face_calibrated() -> None:
    some = {"all": 900, "0-9": 0, "10-19": 29, "20-29": 30}
    (line,) = cautions(dataclasses.replace(results(), calibrated_on=some))
    assert line.startswith("fewer than 30 validation faces of these ages, ")
    assert line.endswith(": 0-9 (0), 10-19 (29)")


def test_few_test_faces() -> None:
    assert cautions(results(58)) == [
        "own has 58 test faces: its MAE of 5.00 years would be between 4.00 and 6.50 for as many "
        "others; with 400 it is known to half a year",
        "fewer than 30 test faces, too few for reliable figures: own 30-39 (29)",
    ]


def test_test_faces_that_training_has_shown() -> None:
    seen = dataclasses.replace(results(), copies={"own": 3}, same_people={"own": 80})
    assert cautions(seen) == [
        "3 of 1000 test faces of own have a near copy in another split: the figures are better "
        "than for new people",
        "80 of 1000 test faces of own seem to show a person of the training faces: the figures "
        "are better than for new people",
    ]
    none = dataclasses.replace(results(), copies={"own": 0}, same_people={"gone": 1})
    assert cautions(none) == []


def test_copies_are_found_in_every_shard_of_other_splits(
    prepared: list[str], tmp_path: Path
) -> None:
    (folder, _) = prepared_folders(configuration(prepared))
    (shard,) = read_shards(folder)
    test = next(i for i, label in enumerate(shard.labels) if label.split == "test")
    noise = np.random.default_rng(0).integers(0, 256, shard.crops[:3].shape, dtype=np.uint8)
    noise[2] = noise[0][..., ::-1]  # mirrored
    labels = [
        dataclasses.replace(shard.labels[test], file=str(i), split=split)
        for i, split in enumerate(("test", "test", "train"))
    ]
    for index, part in enumerate((slice(0, 2), slice(2, 3))):
        write_shard(
            tmp_path / "own",
            index,
            dataclasses.replace(shard, crops=noise[part], labels=labels[part], rejected={}),
        )
    faces = CropDataset([tmp_path / "own"], "test", AGES, SIZE)
    assert copied(faces, "test", [tmp_path / "own"]) == {"utkface": 1}
    assert copied(faces, "train", [tmp_path / "own"]) == {"utkface": 2}  # of themselves


def test_people_are_counted_if_they_were_listed(prepared: list[str], tmp_path: Path) -> None:
    config = configuration(prepared)
    faces = CropDataset(prepared_folders(config), "test", AGES, SIZE)
    assert same_people(faces, "test", tmp_path) == {}
    rows = ("utkface,test,a,b,0.9", "utkface,test,c,d,0.9", "utkface,val,e,f,0.9")
    (tmp_path / "people.csv").write_text(
        "\n".join(["source,split,held_out,training,cosine", *rows])
    )
    assert same_people(faces, "test", tmp_path) == {"appa_real": 0, "utkface": 2}
