"""The initial weights of a run, and the parts that are not trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from omegaconf import DictConfig
from safetensors.torch import save_file

from handler.contract import Contract
from handler.task import Categories
from tests.unit.train.conftest import configuration
from tests.unit.train.runs import checkpoint, weights
from tests.unit.train.tasks import AGE, SHAPES
from train.data.cache import CropLabel, Shard, write_shard
from train.data.sampling import Balance
from train.fit import fit
from train.fitting.build import category_weights, crop_batches, learner
from train.modeling.losses import CategoryLoss, OrdinalLoss
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

Make = Callable[..., DictConfig]


def test_parts_of_the_backbone_are_frozen_by_name(tiny: Make, tmp_path: Path) -> None:
    config = tiny("model.frozen=[conv1,bn1,layer1.0]", "fit.learning_rate=1e-2", "fit.epochs=1")
    torch.manual_seed(config.seed)
    before = learner(config).state_dict()
    fit(config)
    after = weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = tuple(f"network.backbone.{part}." for part in ("conv1", "bn1", "layer1.0"))
    assert changed == {name for name in before if not name.startswith(frozen)}
    with pytest.raises(ValueError, match=r"model\.frozen: .*stem.*; parts are conv1, bn1, "):
        learner(tiny("model.frozen=[stem]"))


def test_a_local_file_of_timm_s_weights(tiny: Make, tmp_path: Path) -> None:
    published = timm.create_model("test_resnet").state_dict()
    save_file(published, tmp_path / "test_resnet.safetensors")
    module = learner(tiny(f"model.weights={tmp_path / 'test_resnet.safetensors'}"))
    for name, value in module.network.backbone.state_dict().items():
        assert torch.equal(value, published[name])
    with pytest.raises(FileNotFoundError, match=r"none\.pth is missing: set model\.weights"):
        learner(tiny(f"model.weights={tmp_path / 'none.pth'}"))


def test_timm_s_weights_without_a_connection(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"of test_resnet cannot be downloaded .*: check "):
        learner(tiny("model.pretrained=true"))


def test_a_run_starts_from_shipped_weights(tiny: Make, tmp_path: Path, contract: Contract) -> None:
    """They have no auxiliary heads: those are new."""
    architecture = Architecture("test_resnet", 64, mean=(0.4, 0.3, 0.2))
    network = Network(architecture)
    start = tmp_path / "age.safetensors"
    save_weights(Weights(network, architecture, contract), start)
    module = learner(tiny(f"fit.start={start}"))
    assert module.architecture.mean == (0.4, 0.3, 0.2)
    for name, value in network.state_dict().items():
        assert torch.allclose(module.network.state_dict()[name], value, atol=1e-3)  # kept in half
    fit(tiny("fit.epochs=1", f"fit.start={start}"))
    assert "auxiliary_heads.gender.weight" in checkpoint(tmp_path / "run")["state_dict"]
    with pytest.raises(ValueError, match=r"holds weights of test_resnet: set model\.backbone"):
        learner(tiny(f"fit.start={start}", "model.backbone=resnet18"))
    with pytest.raises(FileNotFoundError, match=r"missing"):
        learner(tiny(f"fit.start={tmp_path / 'none.safetensors'}"))


@pytest.mark.usefixtures("trained")
def test_a_start_keeps_the_pixels_that_its_weights_know(tiny: Make, tmp_path: Path) -> None:
    """Runs that began before timm's normalisation was taken had ImageNet's for all backbones."""
    start = tmp_path / "run" / "last.ckpt"
    stored = checkpoint(tmp_path / "run")
    assert stored["architecture"]["mean"] == (0.5, 0.5, 0.5)
    stored["architecture"]["mean"] = (0.4, 0.3, 0.2)
    torch.save(stored, start)
    assert learner(tiny(f"fit.start={start}")).architecture.mean == (0.4, 0.3, 0.2)
    assert learner(tiny("fit.resume=true")).architecture.mean == (0.4, 0.3, 0.2)


def exported(path: Path, contract: Contract, **architecture: Any) -> Network:
    """Write weights of the tiny network for 32 pixels."""
    torch.manual_seed(7)
    of = Architecture("test_resnet", 32, **architecture)
    network = Network(of)
    save_weights(Weights(network, of, contract), path)
    return network


class TestCategories:
    def test_a_run_from_scratch(self, tiny_colours: Make) -> None:
        module = learner(tiny_colours("fit.label_smoothing=0.1", "task.grey=true"))
        assert module.network.head.out_features == module.architecture.classes == 3
        assert (module.architecture.mirror, module.architecture.grey) == (False, True)
        assert module.augmentation.mirror == 0
        assert not module.auxiliary_heads
        output = Categories(("blue", "green", "red"))
        assert module.loss == CategoryLoss(output, 0.1, (1.0, 1.0, 1.0), 0.5)

    def test_ages_beside_it(self, tiny: Make) -> None:
        module = learner(tiny())
        assert module.loss == OrdinalLoss(AGE, "dldl_v2", 2.0, 0.1, 0.5, 0.5)
        assert module.augmentation.mirror == 0.5
        heads = {name: head.out_features for name, head in module.auxiliary_heads.items()}
        assert heads == {"gender": 2, "race": 5}

    def test_weights_of_another_task_give_the_backbone(
        self, tiny_colours: Make, tmp_path: Path, contract: Contract
    ) -> None:
        start = tmp_path / "age.safetensors"
        network = exported(start, contract, mean=(0.4, 0.3, 0.2))
        config = tiny_colours(f"fit.start={start}")
        torch.manual_seed(0)
        module = learner(config)
        assert module.architecture.mean == (0.4, 0.3, 0.2)
        assert (module.architecture.classes, module.architecture.mirror) == (3, False)
        for name, value in network.backbone.state_dict().items():
            found = module.network.backbone.state_dict()[name]
            assert torch.allclose(found, value, atol=1e-3)  # kept in half
        head = module.network.head.weight.clone()
        assert head.shape == (3, network.width)
        torch.manual_seed(1)
        assert not torch.equal(learner(config).network.head.weight, head)  # it is a new one

    @pytest.mark.parametrize("loss", ["dldl_v2", "l1"])
    def test_a_loss_of_numbers_is_refused(self, tiny_colours: Make, loss: str) -> None:
        with pytest.raises(
            ValueError, match=rf"^fit\.loss={loss} is of numbers: set fit\.loss=cross_entropy$"
        ):
            learner(tiny_colours(f"fit.loss={loss}"))

    def test_a_teacher_of_another_task_is_refused(
        self, tiny_colours: Make, tmp_path: Path, contract: Contract
    ) -> None:
        path = tmp_path / "age.safetensors"
        exported(path, contract)
        with pytest.raises(ValueError) as failure:  # noqa: PT011
            learner(tiny_colours(f"fit.teachers=[{path}]"))
        assert str(failure.value) == (
            f"fit.teachers: {path} knows 117 classes, and the task colour has 3: set fit.teachers "
            "to networks of this task"
        )
        exported(path, contract, classes=3)
        module = learner(tiny_colours(f"fit.teachers=[{path}]"))
        assert module.teachers is not None

    def test_another_backbone_is_refused(
        self, tiny_colours: Make, tmp_path: Path, contract: Contract
    ) -> None:
        exported(tmp_path / "age.safetensors", contract)
        overrides = (f"fit.start={tmp_path / 'age.safetensors'}", "model.backbone=resnet18")
        with pytest.raises(ValueError, match=r"holds weights of test_resnet: set model\.backbone"):
            learner(tiny_colours(*overrides))


class TestCategoryWeights:
    """Of counts 8, 2 and 0."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> DictConfig:
        counts = {"circle": 8, "cross": 2}
        labels = [
            CropLabel(f"{name}{i}", name, "train", "own", {}, found=True, padding=0)
            for name, count in counts.items()
            for i in range(count)
        ]
        labels += [replace(labels[0], split="val")] * 90  # which do not count
        crops = np.zeros((len(labels), 3, 10, 10), np.uint8)
        write_shard(tmp_path / "own", 0, Shard(crops, labels, {}))
        (tmp_path / "own" / "summary.json").write_text('{"crops": 100, "unusable": 0}')
        return configuration(["task=emotion", "data=own", f"data.prepared={tmp_path}"])

    @pytest.mark.parametrize(
        ("strength", "ratio"), [(0.5, 2.0), (1.0, 4.0)]
    )  # of the weights of the second and of the first
    def test_rare_categories_weigh_more(
        self, config: DictConfig, strength: float, ratio: float
    ) -> None:
        config.fit.class_weight = strength
        circle, cross, square = category_weights(config, SHAPES)
        assert cross / circle == pytest.approx(ratio)
        assert (8 * circle + 2 * cross) / 10 == pytest.approx(1)
        assert square == pytest.approx(circle * 8**strength)  # it has no crop to weigh

    def test_by_default_they_weigh_the_same(self, config: DictConfig) -> None:
        config.data.prepared = "gone"  # nothing is read
        assert category_weights(config, SHAPES) == (1.0, 1.0, 1.0)


def test_labels_to_balance_are_the_tasks(tiny_colours: Make) -> None:
    with pytest.raises(
        ValueError, match=r"^fit\.balance\.auxiliary has gender, and task\.auxiliary only nothing$"
    ):
        crop_batches(tiny_colours("+fit.balance.auxiliary.gender=1.0"))


def test_the_batches_have_the_targets_of_the_task(tiny_colours: Make) -> None:
    batches = crop_batches(tiny_colours("fit.balance.target=0.5", "fit.batch_size=5"))
    batches.setup("fit")
    assert batches.balance == Balance(target=0.5, source=0.0)
    assert (batches.size, batches.batch_size) == (32, 5)
    assert [label.label for label in batches.val.labels] == ["blue"] * 3 + ["green"] * 3 + [
        "red"
    ] * 3
    assert batches.val.target.tolist() == [0.0] * 3 + [1.0] * 3 + [2.0] * 3
    assert batches.train.auxiliary == {}
