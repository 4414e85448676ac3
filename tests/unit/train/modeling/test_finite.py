"""NaN and infinity in weights and figures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from handler.contract import Contract
from train.data.dataset import Batch
from train.evaluate import evaluate
from train.export import export
from train.fit import fit
from train.fitting.build import learner
from train.fitting.callbacks import AtomicCheckpointIO
from train.modeling.checkpoint import read_checkpoint
from train.modeling.finite import NotFiniteError, refuse_ages, refuse_figures, refuse_weights
from train.modeling.learner import AgeFit
from train.modeling.losses import AgeLoss
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.weights import Weights, save_weights
from train.prior import prior
from train.torchscript import build, save

Make = Callable[..., DictConfig]
FILE = Path("runs/a/best.ckpt")


def test_weights() -> None:
    good = {"a": torch.ones(2), "count": torch.tensor(3)}
    refuse_weights(FILE, good)
    bad = good | {"b": torch.tensor([1.0, torch.nan]), "c": torch.tensor([torch.inf])}
    with pytest.raises(ValueError, match=r"^runs/a/best\.ckpt: 2 of 4 tensors hold NaN"):
        refuse_weights(FILE, bad)


def test_ages() -> None:
    refuse_ages(FILE, np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="for 1 of 2 faces are NaN or infinite"):
        refuse_ages(FILE, np.array([1.0, np.inf]))


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_figures_are_found_however_deep(value: float) -> None:
    figures = {"test": {"own": {"mae": {"value": 1.5, "count": 3}}}, "lower": (1.0, 2.0)}
    refuse_figures(FILE, figures)
    with pytest.raises(ValueError, match=r"best\.ckpt: test\.own\.mae\.low is (nan|-inf)"):
        refuse_figures(FILE, {"test": {"own": {"mae": {"value": 1.5, "low": value}}}})
    with pytest.raises(ValueError, match=r"lower\[1\] is"):
        refuse_figures(FILE, {"lower": [1.0, value]})


class TestRuns:
    """Whole runs that come to NaN."""

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_a_loss_ends_the_run_and_keeps_what_was(
        self, tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
    ) -> None:
        original = AgeLoss.__call__
        losses: list[torch.Tensor] = []

        def failing(self: AgeLoss, *arguments: Any) -> torch.Tensor:
            losses.append(original(self, *arguments))
            return losses[-1] + (value if len(losses) == 7 else 0.0)

        monkeypatch.setattr(AgeLoss, "__call__", failing)
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
        def failing(self: AgeFit, batch: Batch, index: int) -> None:
            self.log("val/mae", torch.tensor(torch.nan), batch_size=len(batch["age"]))

        monkeypatch.setattr(AgeFit, "validation_step", failing)
        with pytest.raises(
            NotFiniteError, match=r"^the validation MAE is nan in epoch 1, step 5: "
        ):
            fit(tiny())
        assert not (tmp_path / "run" / "best.ckpt").exists()
        assert not (tmp_path / "run" / "last.ckpt").exists()

    def test_weights_are_not_written(self, tmp_path: Path) -> None:
        path = tmp_path / "last.ckpt"
        good = {"state_dict": {"a": torch.ones(2)}, "epoch": 0}
        AtomicCheckpointIO().save_checkpoint(good, path)
        before = path.read_bytes()
        bad = {"a": torch.tensor(torch.nan)}
        for more in ({"state_dict": bad}, {"current_model_state": bad}):
            with pytest.raises(
                NotFiniteError, match=r"^1 of 1 tensors .* after epoch 1: start another"
            ):
                AtomicCheckpointIO().save_checkpoint(good | more, path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

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
        for use in (evaluate, prior):
            with pytest.raises(ValueError, match=said):
                use(tiny())
        for more in (f"fit.start={best}", f"fit.teachers=[{best}]"):
            with pytest.raises(ValueError, match=said):
                learner(tiny(more))

    def test_a_model_file_that_has_them_is_neither_written_nor_read(
        self, tmp_path: Path, contract: Contract
    ) -> None:
        architecture = Architecture("test_resnet", 64)
        path = tmp_path / "age.safetensors"
        weights = Weights(AgeNetwork(architecture), architecture, contract)
        save_weights(weights, path)
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors["head.bias"][3] = torch.nan
        save_file(tensors, path, metadata)
        with pytest.raises(ValueError, match=r"age\.safetensors: 1 of \d+ tensors hold NaN"):
            build(path, tmp_path / "age.pt")
        assert not (tmp_path / "age.pt").exists()
        with torch.no_grad():  # more than half precision holds
            next(p for p in weights.network.parameters() if p.numel() > 2**16).fill_(1e6)
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"1 of \d+ tensors hold NaN or infinity"):
            save_weights(weights, path)
        assert path.read_bytes() == before

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
        architecture = Architecture("test_resnet", contract.crop.size)
        network = AgeNetwork(architecture).eval()
        torch.nn.init.constant_(network.head.bias, torch.nan)
        save(Weights(network, architecture, contract), tmp_path / "age.pt")
        margin = f"crop.margin={contract.crop.margin}"
        with pytest.raises(ValueError, match=r"age\.pt: its ages for 10 of 10 faces"):
            evaluate(tiny(f"evaluate.model={tmp_path / 'age.pt'}", margin))
