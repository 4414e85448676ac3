"""Reading checkpoints: networks, their mean, starts of runs, and names of earlier versions."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from handler.contract import Contract
from tests.unit.train.tasks import AGE
from train import torch_file
from train.data.augment import Augmentation
from train.fitting.build import learner
from train.fitting.callbacks import AtomicCheckpointIO
from train.modeling.checkpoint import (
    chosen_network,
    load_checkpoint,
    load_start,
    read_checkpoint,
    read_last,
    trained_side,
    with_current_names,
)
from train.modeling.learner import Learner, Recipe
from train.modeling.losses import OrdinalLoss
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

ARCHITECTURE = Architecture("test_resnet", 64)
EARLIER = {"auxiliary_heads.": "helpers.", "feature_heads.": "hints."}


def module(seed: int) -> Learner:
    """A training module with random weights."""
    torch.manual_seed(seed)
    recipe = Recipe(1e-3, 0.3, 0.05, 0.2, 0.0, 64, 48, 0, 0.0, 0)
    augmentation = Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0)
    loss = OrdinalLoss(AGE, "dldl_v2", 2.0, 0.1)
    network, heads = Network(ARCHITECTURE), {"gender": 2, "race": 5}
    return Learner(network, ARCHITECTURE, recipe, loss, augmentation, False, None, auxiliary=heads)


def written(path: Path, seed: int = 0, **more: Any) -> dict[str, torch.Tensor]:
    """Write a checkpoint to `path`; gives its state dict."""
    state = module(seed).state_dict()
    torch_file.write({"state_dict": state, "architecture": asdict(ARCHITECTURE), **more}, path)
    return state


def with_earlier_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`state` as version 1.0 named it, with a feature head."""
    renamed = {}
    for name, value in (state | {"feature_heads.0.weight": torch.ones(3, 3)}).items():
        for new, old in EARLIER.items():
            name = name.replace(new, old)
        renamed[name] = value
    assert "helpers.gender.weight" in renamed
    assert "hints.0.weight" in renamed
    return renamed


def as_of_version_1_0(path: Path) -> None:
    """Rewrite a checkpoint under the names of version 1.0."""
    checkpoint = torch_file.read(path)
    for key in {"state_dict", "current_model_state"} & checkpoint.keys():
        checkpoint[key] = {
            name.replace("auxiliary_heads.", "helpers."): value
            for name, value in checkpoint[key].items()
        }
    torch_file.write(checkpoint, path)


def test_the_network_of_a_checkpoint(tmp_path: Path) -> None:
    state = written(tmp_path / "a.ckpt")
    network, architecture = load_checkpoint(tmp_path / "a.ckpt", shift=3)
    assert (architecture.shift, architecture.crop_size, network.training) == (3, 70, False)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[f"network.{name}"])


def test_the_mean_of_checkpoints(tmp_path: Path) -> None:
    states = [written(tmp_path / f"{seed}.ckpt", seed) for seed in (0, 1)]
    paths = [str(tmp_path / f"{seed}.ckpt") for seed in (0, 1)]
    config = OmegaConf.create({"export": {"shift": 0, "checkpoints": paths}})
    network, _ = chosen_network(config)
    for name, value in network.state_dict().items():
        one, other = (state[f"network.{name}"] for state in states)
        torch.testing.assert_close(value, ((one.double() + other) / 2).to(value.dtype))


def test_the_side_of_the_faces(tmp_path: Path) -> None:
    written(tmp_path / "new.ckpt", side=48)
    written(tmp_path / "old.ckpt")
    assert trained_side(tmp_path / "new.ckpt") == 48
    assert trained_side(tmp_path / "old.ckpt") == ARCHITECTURE.size


def test_a_start_from_exported_weights_has_the_network_alone(
    tmp_path: Path, contract: Contract
) -> None:
    network = Network(ARCHITECTURE)
    save_weights(Weights(network, ARCHITECTURE, contract), tmp_path / "age.safetensors")
    start = load_start(tmp_path / "age.safetensors")
    assert start.architecture == ARCHITECTURE
    assert start.state.keys() == {f"network.{name}" for name in network.state_dict()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, r"a\.ckpt is no checkpoint of python -m train\.fit"),
        ([], r"a\.ckpt is no checkpoint of python -m train\.fit"),
        (
            {"state_dict": {"a": torch.tensor(torch.nan)}, "architecture": {}},
            r"a\.ckpt: 1 of 1 tensors hold NaN",
        ),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch_file.write(content, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(FileNotFoundError, match=r"b\.ckpt is missing: run python -m train\.fit"):
        read_checkpoint(tmp_path / "b.ckpt")


def test_a_damaged_last_checkpoint_is_replaced_by_the_previous_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path / "previous.ckpt", epoch=4)
    (tmp_path / "last.ckpt").write_bytes(b"half")
    assert read_last(tmp_path)["epoch"] == 4
    assert read_checkpoint(tmp_path / "last.ckpt")["epoch"] == 4
    assert "; resuming from " in caplog.text
    assert "previous.ckpt, of epoch 5" in caplog.text


class TestVersion10:
    """Version 1.0 named the heads beside the network `helpers` and `hints`."""

    def test_names(self) -> None:
        state = module(0).state_dict()
        earlier = with_earlier_names(state)
        found = with_current_names(
            {"state_dict": earlier, "current_model_state": earlier, "epoch": 3}
        )
        assert found["epoch"] == 3
        assert found["state_dict"].keys() == state.keys() | {"feature_heads.0.weight"}
        assert found["current_model_state"].keys() == found["state_dict"].keys()
        assert with_current_names(found).keys() == found.keys()

    def test_an_architecture_without_classes_is_of_ages(self, tmp_path: Path) -> None:
        state = written(tmp_path / "a.ckpt")
        checkpoint = torch_file.read(tmp_path / "a.ckpt")
        for name in ("classes", "mirror", "grey"):
            del checkpoint["architecture"][name]
        torch_file.write(checkpoint, tmp_path / "a.ckpt")
        network, architecture = load_checkpoint(tmp_path / "a.ckpt")
        assert architecture == ARCHITECTURE
        assert (architecture.classes, architecture.mirror, architecture.grey) == (117, True, False)
        assert torch.equal(network.head.weight, state["network.head.weight"])
        assert load_start(tmp_path / "a.ckpt").architecture == ARCHITECTURE

    def test_every_reader(self, tmp_path: Path) -> None:
        state = module(0).state_dict()
        path = tmp_path / "last.ckpt"
        written(path, epoch=0)
        torch_file.write(torch_file.read(path) | {"state_dict": with_earlier_names(state)}, path)
        assert "auxiliary_heads.race.bias" in load_start(path).state
        assert "auxiliary_heads.race.bias" in read_last(tmp_path)["state_dict"]
        assert (
            "auxiliary_heads.race.bias" in AtomicCheckpointIO().load_checkpoint(path)["state_dict"]
        )
        assert torch.equal(
            load_checkpoint(path)[0].head.bias, state["network.head.bias"]
        )  # teachers and the export read this

    def test_a_run_starts_from_it_with_its_auxiliary_heads(
        self, trained: DictConfig, tmp_path: Path
    ) -> None:
        path = tmp_path / "run" / "last.ckpt"
        before = read_checkpoint(path)["state_dict"]
        as_of_version_1_0(path)
        trained.fit.start, trained.run = str(path), str(tmp_path / "next")
        after = learner(trained).state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
