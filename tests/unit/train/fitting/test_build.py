"""The initial weights of a run, and the parts that are not trained."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from omegaconf import DictConfig
from safetensors.torch import save_file

from handler.contract import Contract
from tests.unit.train.runs import checkpoint, weights
from train.fit import fit
from train.fitting.build import learner
from train.modeling.network import AgeNetwork, Architecture
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


def test_a_run_starts_from_shipped_weights(tiny: Make, tmp_path: Path, contract: Contract) -> None:
    """They have no auxiliary heads: those are new."""
    architecture = Architecture("test_resnet", 64, mean=(0.4, 0.3, 0.2))
    network = AgeNetwork(architecture)
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
