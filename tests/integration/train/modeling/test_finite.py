"""Whole runs that come to NaN, and what is made of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from handler.contract import Contract
from train.data.dataset import Batch
from train.evaluate import evaluate
from train.export import export
from train.fit import fit
from train.fitting.build import learner
from train.modeling.checkpoint import read_checkpoint
from train.modeling.finite import NotFiniteError
from train.modeling.learner import Learner
from train.modeling.losses import OrdinalLoss
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights
from train.torchscript import save

Make = Callable[..., DictConfig]


class TestRuns:
    """Whole runs that come to NaN."""

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_a_loss_ends_the_run_and_keeps_what_was(
        self, tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
    ) -> None:
        original = OrdinalLoss.__call__
        losses: list[torch.Tensor] = []

        def failing(self: OrdinalLoss, *arguments: Any) -> torch.Tensor:
            losses.append(original(self, *arguments))
            return losses[-1] + (value if len(losses) == 7 else 0.0)

        monkeypatch.setattr(OrdinalLoss, "__call__", failing)
        with pytest.raises(
            NotFiniteError,
            match=r"^the loss is (nan|inf) in epoch 2, step 7: .*lower fit\.learning_rate",
        ):
            fit(tiny())
        assert len(losses) == 7
        for name in ("best", "last"):
            assert read_checkpoint(tmp_path / "run" / f"{name}.ckpt")["epoch"] == 0

    def test_a_validation_error_does(
        self, tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(self: Learner, batch: Batch, index: int) -> None:
            self.log("val/mae", torch.tensor(torch.nan), batch_size=len(batch["target"]))

        monkeypatch.setattr(Learner, "validation_step", failing)
        with pytest.raises(
            NotFiniteError, match=r"^the validation MAE is nan in epoch 1, step 5: "
        ):
            fit(tiny())
        assert not (tmp_path / "run" / "best.ckpt").exists()
        assert not (tmp_path / "run" / "last.ckpt").exists()

    @pytest.mark.usefixtures("trained")
    def test_a_checkpoint_that_has_them_is_refused_by_every_reader(
        self, tiny: Make, tmp_path: Path
    ) -> None:
        best = tmp_path / "run" / "best.ckpt"
        checkpoint = read_checkpoint(best)
        for value in checkpoint["state_dict"].values():
            value.mul_(torch.nan if value.is_floating_point() else 1)
        torch.save(checkpoint, best)
        said = r"^.*run/best\.ckpt: \d+ of \d+ tensors hold NaN or infinity"
        with pytest.raises(ValueError, match=said):
            evaluate(tiny())
        for more in (f"fit.start={best}", f"fit.teachers=[{best}]"):
            with pytest.raises(ValueError, match=said):
                learner(tiny(more))

    @pytest.mark.usefixtures("evaluated")
    def test_figures_that_are_none_are_not_exported(self, tiny: Make, tmp_path: Path) -> None:
        file = tmp_path / "run" / "metrics.json"
        figures = json.loads(file.read_text())
        figures["test"]["utkface"]["mae"]["value"] = float("nan")
        file.write_text(json.dumps(figures))
        with pytest.raises(ValueError, match=r"metrics\.json: test\.utkface\.mae\.value is nan"):
            export(tiny(f"export.output={tmp_path / 'out'}"))
        assert not (tmp_path / "out").exists()

    def test_a_file_without_finite_ages_is_not_evaluated(
        self, tiny: Make, tmp_path: Path, contract: Contract
    ) -> None:
        architecture = Architecture("test_resnet", contract.task.input.size)
        network = Network(architecture).eval()
        torch.nn.init.constant_(network.head.bias, torch.nan)
        save(Weights(network, architecture, contract), tmp_path / "age.pt")
        margin = f"crop.margin={contract.task.input.crop.margin}"
        with pytest.raises(ValueError, match=r"age\.pt: its predictions for 10 of 10 crops "):
            evaluate(tiny(f"evaluate.model={tmp_path / 'age.pt'}", margin))
