from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch.nn import functional

from handler.contract import Contract
from train.fitting.build import learner
from train.modeling.distill import Teacher, Teachers, feature_loss, load_teacher
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

Make = Callable[..., DictConfig]


def network(seed: int, shift: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(Architecture("test_resnet", 32, shift=shift)).eval()


def faces(side: int) -> torch.Tensor:
    return 255 * torch.rand(6, 3, side, side, generator=torch.Generator().manual_seed(0))


class TestTeachers:
    def test_their_mean(self) -> None:
        one, other = network(0), network(1, shift=2)  # its two views are the exported file's
        found = Teachers([Teacher(one, 32), Teacher(other, 32)])(faces(32)).probabilities
        assert found.sum(dim=1) == pytest.approx(torch.ones(6), abs=1e-5)
        with torch.no_grad():
            each = [n.probabilities(n.features(faces(32))) for n in (one, other)]
        assert torch.allclose(found, (each[0] + each[1]) / 2, atol=1e-6)

    def test_each_gets_faces_of_its_own_side(self) -> None:
        teachers = Teachers([Teacher(network(0), 24), Teacher(network(0), 32)])
        assert teachers.side == 32
        smaller = functional.interpolate(faces(32), size=24, mode="bilinear", antialias=True)
        with torch.no_grad():
            each = [network(0).probabilities(network(0).features(f)) for f in (faces(32), smaller)]
        assert torch.allclose(teachers(faces(32)).probabilities, (each[0] + each[1]) / 2, atol=1e-6)

    def test_the_features_of_each(self) -> None:
        one, other = network(0), network(1)
        found = Teachers([Teacher(one, 32), Teacher(other, 32)])(faces(32)).features
        with torch.no_grad():
            each = [n.features(faces(32)) for n in (one, other)]
        # a copy of a network may lie otherwise in memory, and be summed up in another order
        torch.testing.assert_close(torch.stack(found), torch.stack(each))


class TestFeatureLoss:
    theirs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])

    @pytest.mark.parametrize(
        ("predicted", "loss"),
        [
            (theirs, 0.0),
            (10 + 3 * theirs, 0.0),  # neither what all faces have in common counts nor the scale
            (-theirs, 2.0),
            (theirs.flip(1) * torch.tensor([[1.0, -1.0]]), 1.0),  # a right angle each
        ],
    )
    def test_the_angle_between_deviations_from_the_batch_mean(
        self, predicted: torch.Tensor, loss: float
    ) -> None:
        # the last angle is a right one only with the mean taken away from both
        assert feature_loss(predicted - predicted.mean(0), self.theirs).item() == pytest.approx(
            loss, abs=1e-6
        )


class TestLoading:
    def test_exported_weights(self, contract: Contract, tmp_path: Path) -> None:
        path = tmp_path / "age.safetensors"
        architecture = Architecture("test_resnet", 32, shift=4)
        save_weights(Weights(network(0, 4), architecture, contract), path)
        teacher = load_teacher(path)
        assert teacher.side == 32
        assert not teacher.network.training

    @pytest.mark.usefixtures("trained")
    def test_a_checkpoint_that_kept_no_side(self, tiny: Make, tmp_path: Path) -> None:
        path = tmp_path / "run" / "best.ckpt"
        stored = torch.load(path, weights_only=True)
        del stored["side"]
        torch.save(stored, path)
        assert load_teacher(path).side == 64

    def test_a_missing_one(self, tiny: Make, tmp_path: Path) -> None:
        for name in ("none.ckpt", "none.safetensors"):
            with pytest.raises(FileNotFoundError, match=rf"{name} is missing: set fit"):
                learner(tiny(f"fit.teachers=[{tmp_path / name}]"))


class TestFit:
    def test_mixup_needs_them(self, tiny: Make) -> None:
        with pytest.raises(ValueError, match=r"fit\.mixup: only teachers .*: set fit\.teachers"):
            learner(tiny("fit.mixup=0.5"))

    def test_feature_distillation_needs_them(self, tiny: Make) -> None:
        with pytest.raises(ValueError, match=r"fit\.feature_weight: .*: set fit\.teachers"):
            learner(tiny("fit.feature_weight=1.0"))

    @pytest.mark.parametrize("loss", ["l1", "cross_entropy"])
    def test_a_loss_that_cannot_learn_from_them(self, tiny: Make, loss: str) -> None:
        with pytest.raises(ValueError, match=rf"fit\.loss={loss} learns from no teachers: set"):
            learner(tiny("fit.teachers=[any.ckpt]", f"fit.loss={loss}"))
