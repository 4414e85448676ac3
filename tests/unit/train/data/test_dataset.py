import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from handler.task import Categories
from tests.unit.train.conftest import configuration
from tests.unit.train.data.crops import (
    AUXILIARY,
    GENDERS,
    RACES,
    SIZE,
    STORED,
    colours,
    crop,
    label,
)
from tests.unit.train.tasks import AGE, SHAPES
from train.configuration.tasks import task_of
from train.data.cache import Shard, write_shard
from train.data.dataset import CropDataset, model_crops

NAMES = ("square", "circle", "cross", "square")


class TestCropDataset:
    @pytest.mark.parametrize(("split", "numbers"), [("train", range(21)), ("val", range(21, 28))])
    def test_one_split_of_all_folders(
        self, folders: list[Path], split: str, numbers: range
    ) -> None:
        dataset = CropDataset(folders, split, AGE, auxiliary=AUXILIARY)
        assert len(dataset) == len(numbers)
        batch = dataset.__getitems__(list(range(len(dataset))))
        assert batch["crop"].shape == (len(numbers), 3, STORED, STORED)
        assert batch["crop"].dtype == torch.uint8
        assert batch["target"].dtype == torch.float32
        assert batch["gender"].dtype == batch["race"].dtype == torch.int64
        assert sorted(colours(batch)) == list(numbers)
        for number, *labels in zip(
            colours(batch), batch["target"], batch["gender"], batch["race"], strict=True
        ):
            expected = label(number, split)
            gender = GENDERS.index(expected.auxiliary["gender"])
            race = expected.auxiliary.get("race")
            assert labels == [float(expected.label), gender, RACES.index(race) if race else -1]

    def test_served_part_only(self, folders: list[Path]) -> None:
        dataset = CropDataset(folders, "val", AGE, SIZE)
        assert dataset.crops.shape == (7, 3, SIZE, SIZE)
        assert [len(c.unique()) for c in dataset.crops] == [1] * 7  # nothing of the frame

    def test_an_item_is_a_batch_of_one(self, folders: list[Path]) -> None:
        dataset = CropDataset(folders, "train", AGE, auxiliary=AUXILIARY)
        one, several = dataset[3], dataset.__getitems__([2, 3])
        for name, value in one.items():
            assert torch.equal(value, several[name][1:])

    def test_a_folder_without_crops_of_the_split(self, folders: list[Path], tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=rf"{tmp_path} holds no val crops: run python -m"):
            CropDataset([*folders, tmp_path], "val", AGE)
        with pytest.raises(
            ValueError,
            match=r"one holds \d+ train and \d+ val and no test crops: write test ",
        ):
            CropDataset(folders, "test", AGE)

    def test_a_folder_without_test_crops_is_left_out_beside_one_that_has_some(
        self, folders: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        write_shard(tmp_path, 0, Shard(np.stack([crop(5)]), [label(5, "test")], {}))
        dataset = CropDataset([folders[0], tmp_path], "test", AGE)
        assert [each.file for each in dataset.labels] == ["5.jpg"]
        assert f"{folders[0]} has no test crops" in caplog.text

    @pytest.mark.parametrize("age", ["nan", "-1", "117"])
    def test_an_age_that_is_none(self, tmp_path: Path, age: str) -> None:
        labels = [label(20, "train"), replace(label(21, "train"), label=age)]
        write_shard(tmp_path, 0, Shard(np.stack([crop(20), crop(21)]), labels, {}))
        with pytest.raises(
            ValueError,
            match=rf"1 train crops have no number from 0 to 116, 21\.jpg of made is {age}:",
        ):
            CropDataset([tmp_path], "train", AGE)

    def test_the_target_of_a_category_is_its_index(self, tmp_path: Path) -> None:
        labels = [replace(label(i, "train"), label=name) for i, name in enumerate(NAMES)]
        write_shard(tmp_path, 0, Shard(np.stack([crop(i) for i in range(4)]), labels, {}))
        dataset = CropDataset([tmp_path], "train", SHAPES)
        assert dataset.target.tolist() == [2, 0, 1, 2]
        assert dataset.target.dtype == torch.float32
        assert set(dataset[0]) == {"crop", "target"}
        with pytest.raises(
            ValueError,
            match=r"^2 train crops have no category of the task, 0\.jpg of made is square: correct",
        ):
            CropDataset([tmp_path], "train", Categories(("circle", "cross")))

    def test_fewer_crops_evenly_spaced(self, folders: list[Path]) -> None:
        dataset = CropDataset(folders, "train", AGE, auxiliary=AUXILIARY)
        before = [each.file for each in dataset.labels]
        whole = dataset.__getitems__([0, 10, 20])
        dataset.thin_out(3)
        assert [each.file for each in dataset.labels] == [before[i] for i in (0, 10, 20)]
        for name, value in dataset.__getitems__([0, 1, 2]).items():
            assert torch.equal(value, whole[name])

    def test_crops_of_another_version_are_refused(self, tmp_path: Path) -> None:
        write_shard(tmp_path, 0, Shard(crop(0)[None], [label(0, "train")], {}))
        (path,) = tmp_path.glob("*.json")
        stored = json.loads(path.read_text())
        (only,) = stored["labels"]
        old = {"age": 30.0, "gender": 0, "race": -1}
        del only["label"], only["auxiliary"]
        path.write_text(json.dumps(stored | {"labels": [only | old]}))
        with pytest.raises(
            ValueError, match=rf"^{path} is of another version of .*: run python -m train\.prepare "
        ):
            CropDataset([tmp_path], "train", AGE)


class TestModelCrops:
    """The crops at the input of a model, from the prepared ones."""

    @pytest.fixture
    def config(self, folders: list[Path]) -> DictConfig:
        for folder in folders:
            (folder / "summary.json").write_text('{"crops": 1, "unusable": 0}')
        sources = [f"+data.sources.{folder.name}=x" for folder in folders]
        data = ["data=own", "~data.sources.own", *sources, f"data.prepared={folders[0].parent}"]
        return configuration([*data, "crop.size=8"])

    @pytest.mark.parametrize("size", [8, 10])
    def test_of_its_size(self, config: DictConfig, size: int) -> None:
        crops = model_crops(config, "val", task_of(config, size))
        assert crops.crops.shape == (7, 3, size, size)
        assert crops.auxiliary["gender"].tolist() == [
            GENDERS.index(each.auxiliary["gender"]) for each in crops.labels
        ]

    @pytest.mark.parametrize("given", [["crop.size=16"], ["crop.margin=0.3"], ["task.input=image"]])
    def test_another_size_or_scale_is_refused(self, config: DictConfig, given: list[str]) -> None:
        for override in given:
            key, _, value = override.partition("=")
            OmegaConf.update(config, key, yaml.safe_load(value))
        task = task_of(configuration(["crop.size=8"]), 12 if "size" in given[0] else 8)
        task = task_of(config, 24) if "size" in given[0] else task
        with pytest.raises(ValueError, match="the model takes crops of another size or scale than"):
            model_crops(config, "val", task)


class TestVotes:
    def test_are_in_the_batches(self, voted: list[Path]) -> None:
        batch = CropDataset(voted, "train", AGE).__getitems__([0, 1])
        assert batch["votes"].dtype == torch.float32
        assert batch["votes"][0].tolist() == [33.0, 4.0]
        assert batch["votes"][1].isnan().all()

    def test_data_without_any_has_none_in_its_batches(self, voted: list[Path]) -> None:
        assert "votes" not in CropDataset(voted, "val", AGE).__getitems__([0])

    def test_none_is_left_out_where_they_may_differ(self, voted: list[Path]) -> None:
        assert CropDataset(voted, "train", AGE).leave_out_doubtful(20) == 0


class TestKeepOn:
    """tests/integration has crops that move to a GPU."""

    def test_a_cpu_changes_nothing(self, folders: list[Path]) -> None:
        dataset = CropDataset(folders, "val", AGE, SIZE)
        crops = dataset.crops
        dataset.keep_on(torch.device("cpu"))
        assert dataset.crops is crops

    def test_too_many_for_the_gpu_stay(
        self,
        folders: list[Path],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("INFO")
        dataset = CropDataset(folders, "val", AGE, SIZE)
        crops = dataset.crops
        free = 2 * crops.nbytes - 1
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
        dataset.keep_on(torch.device("cuda", 0))
        assert dataset.crops is crops
        assert "the crops are too large for the GPU's memory" in caplog.text
