"""Tasks other than the age: preparing, training, resuming, and what is refused."""

import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from handler.imaging.crop import central_square, crop_faces
from handler.imaging.decode import decode
from tests.images import scene
from tests.unit.train.conftest import COLOURS, COUNTS, configuration, face_of_age, save
from tests.unit.train.runs import checkpoint, logged, same, weights
from train import fit as fitting
from train import prepare as preparing
from train.configuration.tasks import task_input
from train.data.cache import read_labels, read_shards, served_part
from train.fit import fit
from train.modeling.checkpoint import load_checkpoint, read_checkpoint
from train.modeling.network import Architecture

Make = Callable[..., DictConfig]
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command in this process, and returns its exit code."""
    handlers = list(logging.root.handlers)
    hydra_config = HydraConfig.instance()
    monkeypatch.setattr(hydra_config, "cfg", hydra_config.cfg)  # Hydra leaves the job's own there
    monkeypatch.chdir(tmp_path)

    def call(main: Callable[[], None], *words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["main", *words])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    yield call
    for handler in set(logging.root.handlers) - set(handlers):
        logging.root.removeHandler(handler)
        handler.close()


class TestPrepare:
    def test_whole_images_are_their_central_squares(
        self, run: Run, colours: Path, prepared_colours: list[str], tmp_path: Path
    ) -> None:
        overrides = [*prepared_colours, f"data.prepared={tmp_path}", "data.processes=1"]
        assert run(preparing.main, *overrides) == 0
        folder = tmp_path / "asl_alphabet"
        summary = json.loads((folder / "summary.json").read_text())
        splits = {split: count * len(COLOURS) for split, count in COUNTS.items()}
        assert summary["splits"] == splits
        assert (summary["unusable"], summary["not_found"], summary["whole"]) == (0, 0, 0)
        (shard,) = read_shards(folder)
        assert shard.crops.shape == (sum(splits.values()), 3, 40, 40)
        taken = task_input(configuration(overrides))
        for label, crop in zip(shard.labels, shard.crops, strict=True):
            assert label.file == f"{label.split}/{label.label}/{Path(label.file).name}"
            assert (label.found, label.padding) == (True, 0)
            image = decode((colours / label.file).read_bytes(), 10**6)
            square = central_square(image.shape, 0.9)
            (served,) = crop_faces(image, square[None], taken.crop).astype(int)
            assert np.abs(served_part(crop, 32) - served).max() <= 1  # rounding of coefficients
        (in_process,) = read_shards(
            Path(configuration(prepared_colours).data.prepared, folder.name)
        )
        assert np.array_equal(in_process.crops, shard.crops)
        assert in_process.labels == shard.labels

    @pytest.mark.parametrize("tight", [True, False])
    def test_images_that_a_face_fills_are_taken_whole(
        self, run: Run, tmp_path: Path, tight: bool
    ) -> None:
        root = tmp_path / "faces"
        for split in ("train", "val", "test"):
            (root / split / "happy").mkdir(parents=True)
            save(face_of_age(20, margin=60), root / split / "happy" / "face.jpg")
            Image.fromarray(scene(64, 64)).save(root / split / "happy" / "none.png")
        words = [f"data.sources.fer2013={root}", f"data.tight.fer2013={str(tight).lower()}"]
        words += [f"data.prepared={tmp_path / 'made'}", "data.processes=1", "data.max_bad=0.5"]
        assert run(preparing.main, "task=emotion", *words) == 0
        folder = tmp_path / "made" / "fer2013"
        found = {label.file: label.found for label in read_labels(folder)}
        assert found == {
            f"{split}/happy/{name}": name == "face.jpg"
            for split in ("train", "val", "test")
            for name in ("face.jpg", "none.png")
            if tight or name == "face.jpg"
        }
        whole = (folder / "whole.csv").read_text().split()[1:]
        assert len(whole) == (3 if tight else 0)

    def test_crops_of_version_1_are_made_anew(
        self,
        run: Run,
        prepared_colours: list[str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = tmp_path / "asl_alphabet"
        before = Path(configuration(prepared_colours).data.prepared, folder.name)
        shutil.copytree(before, folder)
        (stored,) = folder.glob("crops-*.json")
        content = json.loads(stored.read_text())
        for label in content["labels"]:
            del label["label"], label["auxiliary"]
            label |= {"age": 30.0, "gender": -1, "race": -1}
        stored.write_text(json.dumps(content))
        (folder / "fingerprint").write_text("of version 1")
        overrides = [*prepared_colours, f"data.prepared={tmp_path}", f"run={tmp_path / 'run'}"]
        assert run(fitting.main, *overrides) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"error: {stored} is of another version of this package: run python -m train.prepare "
            "again"
        )
        assert run(preparing.main, *overrides, "data.processes=1") == 0
        output = capsys.readouterr().out
        assert "settings or samples have changed; all its crops are made again" in output
        assert list(read_labels(folder)) == list(read_labels(before))


class TestFit:
    def test_categories_are_learned(self, tiny_colours: Make, tmp_path: Path) -> None:
        score = fit(tiny_colours("fit.epochs=8", "fit.learning_rate=5e-3", "fit.batch_size=6"))
        run = tmp_path / "run"
        accuracies = logged(run, "val/accuracy")
        assert len(accuracies) == 8
        assert score == max(accuracies) > 0.6
        assert checkpoint(run, "best")["epoch"] == accuracies.index(score)
        config = OmegaConf.load(run / "config.yaml")
        assert config.task.output.names == ["blue", "green", "red"]
        assert config.fit.loss == "cross_entropy"
        network, architecture = load_checkpoint(run / "best.ckpt")
        kept = Architecture("test_resnet", 32, (0.5,) * 3, (0.5,) * 3, classes=3, mirror=False)
        assert architecture == kept
        probabilities = network(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
        assert probabilities.shape == (2, 3)

    @pytest.mark.parametrize("more", [[], ["fit.ema=0.9", "fit.class_weight=0.5"]])
    def test_a_resumed_run_ends_with_the_same_weights(
        self, tiny_colours: Make, prepared_colours: list[str], tmp_path: Path, more: list[str]
    ) -> None:
        """The first is stopped within its cycle of four epochs."""
        whole = tiny_colours(f"run={tmp_path / 'whole'}", "fit.epochs=4", *more)
        score = fit(whole)
        stopped = tiny_colours("fit.epochs=4", *more)

        def stop(_: object, trainer: lightning.Trainer, *__: object) -> None:
            if trainer.current_epoch == 2:
                raise KeyError("the power")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "train.fitting.callbacks.Finite.on_train_epoch_start", stop, raising=False
            )
            with pytest.raises(KeyError, match="the power"):
                fit(stopped)
        run = tmp_path / "run"
        assert read_checkpoint(run / "last.ckpt")["epoch"] == 1
        again = [*prepared_colours, f"run={run}", "fit.resume=true"]
        assert fit(configuration(again), again) == score
        assert same(weights(run), weights(tmp_path / "whole"))
        assert fit(configuration(again), again) == score  # it has finished
        (run / "best.ckpt").unlink()
        with pytest.raises(FileNotFoundError, match=r"has finished and .*best\.ckpt is missing"):
            fit(configuration(again), again)

    def test_early_stopping_waits_for_a_higher_accuracy(
        self, tiny_colours: Make, tmp_path: Path
    ) -> None:
        still = ("model.frozen=true", "fit.learning_rate=0", "fit.epochs=9", "fit.patience=2")
        score = fit(tiny_colours(*still))
        assert logged(tmp_path / "run", "val/accuracy") == [score] * 3  # the first was the best
        assert checkpoint(tmp_path / "run", "best")["epoch"] == 0

    def test_ages_as_classes(
        self,
        utkface: Path,
        prepared: list[str],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """On the crops that were prepared for the ages: years are classes, with gaps."""
        crops = configuration(prepared).data.prepared
        config = configuration(
            ["task=age_classes", f"data.sources.utkface={utkface}", f"data.prepared={crops}",
             "crop.size=64", f"run={tmp_path / 'run'}", "model.backbone=test_resnet",
             "fit.start=null", "fit.epochs=1", "fit.batch_size=4", "fit.precision=32-true"]
        )  # fmt: skip
        assert 0 <= fit(config) <= 1
        assert "104 of 116 classes have no training crop, so that they are never" in caplog.text
        network, architecture = load_checkpoint(tmp_path / "run" / "best.ckpt")
        assert (architecture.classes, network.head.out_features) == (116, 116)
        state = checkpoint(tmp_path / "run")["state_dict"]
        assert "auxiliary_heads.gender.weight" in state

    def test_a_network_of_ages_starts_one_of_categories(
        self, trained: DictConfig, tiny_colours: Make, tmp_path: Path
    ) -> None:
        start = f"fit.start={trained.run}/last.ckpt"
        config = tiny_colours(start, f"run={tmp_path / 'next'}", "fit.epochs=1", "fit.side=32")
        assert 0 <= fit(config) <= 1
        assert not any("auxiliary" in name for name in weights(tmp_path / "next"))


class TestWrongUse:
    """Each is one line, and no traceback."""

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (["task=unknown"], 2, "train/config has no task/unknown; it has age, age_classes,"),
            (["task.output.names=[a,a]"], 1, "the model's output names a category twice"),
            (["task.output.names=[a]"], 1, "the model's output has 1 names: 2 to 10000"),
            (["task.output.low=9", "task.output.high=3"], 1, "the model's output has values from"),
            (["task.output.low=9"], 1, "task.output has one of low and high: set both, or names"),
            (["task=age", "task.output.names=[a,b]"], 1, "task.output has a range and names: set"),
            (["crop.size=100"], 2, "crop.size=100: a multiple of 8, in pixels, is expected"),
            (["task.crop_fraction=5"], 2, "task.crop_fraction=5: a number from 0.1 to 2 is expe"),
            (["task.input=video"], 2, "task.input=video: one of faces, image is expected"),
            (["task.output.name=a"], 2, "task.output.name: unknown key; did you mean "),
            ([], 1, "asl_alphabet: data/asl_alphabet is missing; set data.sources.asl_alphabet"),
            (["data.sources.asl_alphabet=empty"], 1, "asl_alphabet: empty has no image in the"),
            (["data.sources.asl_alphabet=flat"], 1, "asl_alphabet: flat has no image in the fo"),
            (["data.sources.asl_alphabet=a.csv"], 1, "asl_alphabet: a.csv lacks the column 'asl'"),
        ],
    )
    def test_of_prepare(
        self,
        run: Run,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        words: list[str],
        code: int,
        message: str,
    ) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "flat").mkdir()
        (tmp_path / "flat" / "a.jpg").touch()
        (tmp_path / "a.csv").write_text("path,kind\na.jpg,b\n")
        task = [] if words and words[0].startswith("task=") else ["task=asl"]
        assert run(preparing.main, *task, *words) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {message}")

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (["fit.loss=dldl_v2"], 1, "fit.loss=dldl_v2 is of numbers: set fit.loss=cross_entropy"),
            (
                ["fit.loss=focal"],
                2,
                "fit.loss=focal: one of auto, dldl_v2, cross_entropy, l1 is ex",
            ),
            (["task.output.names=[blue,red]"], 1, "6 train crops have no category of the task, "),
            (
                ["task.output.names=[blue,green,red,white]"],
                1,
                "1 of 4 classes have no training crop: white: add images, or leave them out of ",
            ),
            (["fit.start=TRAINED", "model.backbone=resnet18"], 1, "TRAINED holds weights of test_"),
            (
                ["fit.teachers=[TRAINED]"],
                1,
                "fit.teachers: TRAINED knows 117 classes, and the task",
            ),
            (
                ["fit.mixup=0.5"],
                1,
                "fit.mixup: only teachers give a mixed input a target: set fit.",
            ),
            (
                ["crop.size=24"],
                1,
                "the prepared crops have 40 pixels, and crop.size=24 needs 30: prepare ",
            ),
            (["task.name=Signs"], 1, "a task cannot be named 'Signs': use lower-case letters,"),
        ],
    )
    def test_of_fit(
        self,
        run: Run,
        trained: DictConfig,
        prepared_colours: list[str],
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        code: int,
        message: str,
    ) -> None:
        start = f"{trained.run}/last.ckpt"
        words = [word.replace("TRAINED", start) for word in words]
        small = ["model.backbone=test_resnet", "run=other", "fit.epochs=1", "fit.precision=32-true"]
        assert run(fitting.main, *prepared_colours, *small, *words) == code
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"error: {message.replace('TRAINED', start)}")
        assert not Path("other", "config.yaml").exists()
