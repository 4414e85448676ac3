import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from handler.task import Categories
from tests.unit.train.conftest import configuration
from tests.unit.train.tasks import AGE, SHAPES
from train.configuration.tasks import task_of
from train.data.cache import CropLabel, Shard, write_shard
from train.data.dataset import Batch, CropBatches, CropDataset, model_crops
from train.data.sampling import Balance

SIZE, STORED = 8, 10
COUNTS = {"train": 21, "val": 7}
AS_IT_IS = Balance()
GENDERS, RACES = ("male", "female"), ("Black", "White")
NAMES = ("square", "circle", "cross", "square")
AUXILIARY = {"gender": GENDERS, "race": RACES}


def crop(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A crop of one colour with a border of another."""
    image = np.full((3, STORED, STORED), 255 - number, np.uint8)
    image[:, 1:-1, 1:-1] = number
    return image


def label(number: int, split: str) -> CropLabel:
    age = 30 if number < 15 else 4 * number  # one is more frequent
    auxiliary = {"gender": GENDERS[number % 2]}
    if number % 3:  # else it is unknown
        auxiliary["race"] = RACES[number % 3 - 1]
    return CropLabel(f"{number}.jpg", str(age), split, "made", auxiliary, found=True, padding=0.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets, the first in two shards: crops of the colours 0 to 27."""
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(splits))
    labels = [label(int(number), splits[number]) for number in order]
    crops = np.stack([crop(int(number)) for number in order])
    root = tmp_path_factory.mktemp("crops")
    parts = [("one", 0, slice(0, 10)), ("one", 1, slice(10, 15)), ("other", 0, slice(15, None))]
    for name, index, part in parts:
        (root / name).mkdir(exist_ok=True)
        write_shard(root / name, index, Shard(crops[part], labels[part], {}))
    return [root / "one", root / "other"]


def colours(batch: Batch) -> list[int]:
    """Which crops a batch holds."""
    middle: list[int] = batch["crop"][:, 0, STORED // 2, STORED // 2].tolist()
    return middle


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
    @pytest.fixture
    def voted(self, tmp_path: Path) -> list[Path]:
        """Three ages of 30; people said 33 of the first, nothing of the second, 50 of the third."""
        votes = [(33.0, 4.0), None, (50.0, 2.0)]
        labels = [replace(label(i, "train"), votes=each) for i, each in enumerate(votes)]
        labels.append(label(3, "val"))
        crops = np.stack([crop(number) for number in range(4)])
        write_shard(tmp_path, 0, Shard(crops, labels, {}))
        return [tmp_path]

    def test_are_in_the_batches(self, voted: list[Path]) -> None:
        batch = CropDataset(voted, "train", AGE).__getitems__([0, 1])
        assert batch["votes"].dtype == torch.float32
        assert batch["votes"][0].tolist() == [33.0, 4.0]
        assert batch["votes"][1].isnan().all()

    def test_data_without_any_has_none_in_its_batches(self, voted: list[Path]) -> None:
        assert "votes" not in CropDataset(voted, "val", AGE).__getitems__([0])

    def test_crops_whose_label_is_doubtful_are_left_out(
        self, voted: list[Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        module = CropBatches(voted, AGE, SIZE, 4, AS_IT_IS, seed=3, apart=15)
        module.setup("fit")
        assert colours(module.train.__getitems__([0, 1])) == [0, 1]
        assert len(module.train) == 2
        assert "1 training crops are left out: votes differ from the label by over 15" in (
            caplog.text
        )

    def test_none_is_left_out_where_they_may_differ(self, voted: list[Path]) -> None:
        assert CropDataset(voted, "train", AGE).leave_out_doubtful(20) == 0


def batches(
    folders: Sequence[Path],
    balance: Balance = AS_IT_IS,
    ranks: tuple[int, int] = (1, 0),
    batch: int = 4,
) -> CropBatches:
    """The data module of rank ranks[1] out of ranks[0]."""
    module = CropBatches(folders, AGE, SIZE, batch, balance=balance, seed=3)
    world_size, rank = ranks
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer = SimpleNamespace(world_size=world_size, global_rank=rank, strategy=strategy)
    module.trainer = trainer  # type: ignore[assignment]
    module.setup("fit")
    return module


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


class TestCropBatches:
    def test_each_training_crop_once_an_epoch(self, folders: list[Path]) -> None:
        loader = batches(folders).train_dataloader()
        seen = [colours(batch) for batch in loader]
        assert [len(part) for part in seen] == [4] * 5  # what is left of 21 is left out
        numbers = [number for part in seen for number in part]
        assert len(set(numbers)) == 20
        assert set(numbers) <= set(range(21))

    def test_fewer_crops_than_a_batch_are_one(
        self, folders: list[Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        module = batches(folders, batch=64)
        seen = [colours(batch) for batch in module.train_dataloader()]
        assert [sorted(part) for part in seen] == [list(range(21))]
        assert "21 training crops are fewer than fit.batch_size=64 per process" in caplog.text
        assert [module.batches(1), module.batches(2), module.batch(2)] == [1, 1, 10]
        with pytest.raises(ValueError, match="21 training crops are too few for 22 processes"):
            module.batch(22)

    def test_balance_looks_less_often_at_the_frequent_age(self, folders: list[Path]) -> None:
        def frequent(age: float) -> int:
            loader = batches(folders, Balance(target=age)).train_dataloader()
            return sum(int((batch["target"] == 30).sum()) for batch in loader)

        assert frequent(0.0) >= 14
        assert 2 <= frequent(1.0) <= 8

    def test_validation_is_every_crop_in_order(self, folders: list[Path]) -> None:
        loader = batches(folders, Balance(target=1.0)).val_dataloader()
        seen = list(loader)
        assert [len(batch["target"]) for batch in seen] == [4, 3]
        dataset = CropDataset(folders, "val", AGE, SIZE)
        assert torch.equal(torch.cat([batch["crop"] for batch in seen]), dataset.crops)
        assert torch.equal(torch.cat([batch["target"] for batch in seen]), dataset.target)

    def test_ranks_share_an_epoch(self, folders: list[Path]) -> None:
        parts = [
            [n for b in batches(folders, ranks=(2, rank)).train_dataloader() for n in colours(b)]
            for rank in range(2)
        ]
        assert [len(part) for part in parts] == [8, 8]
        assert not set(parts[0]) & set(parts[1])

    def test_ranks_share_the_validation_and_repeat_none(self, folders: list[Path]) -> None:
        parts = [
            torch.cat([b["crop"] for b in batches(folders, ranks=(2, rank)).val_dataloader()])
            for rank in range(2)
        ]
        crops = CropDataset(folders, "val", AGE, SIZE).crops
        assert [len(part) for part in parts] == [4, 3]
        assert torch.equal(parts[0], crops[0::2])
        assert torch.equal(parts[1], crops[1::2])


class Noting(Callback):
    """Records the crops of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.epochs.append([])

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        self.epochs[-1] += colours(batch)


class Nothing(lightning.LightningModule):
    """Learns nothing from a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Batch, index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_lightning_shuffles_each_epoch_again(folders: list[Path], tmp_path: Path) -> None:
    def train() -> list[list[int]]:
        noting = Noting()
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            use_distributed_sampler=False,
            limit_val_batches=0,
            callbacks=[noting],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(Nothing(), CropBatches(folders, AGE, SIZE, 4, Balance(target=0.5), seed=3))
        return noting.epochs

    epochs = train()
    assert [len(numbers) for numbers in epochs] == [20] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert train() == epochs
