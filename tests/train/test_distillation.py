from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch.nn import functional

from handler.contract import Contract
from train.card import run_facts
from train.distillation import Teacher, Teachers, load_teacher
from train.fit import crop_batches, fit
from train.model import AgeNetwork, Architecture
from train.weights import Weights, save_weights

CPU = torch.device("cpu")
Make = Callable[..., DictConfig]


def network(seed: int, shift: int = 0) -> AgeNetwork:
    torch.manual_seed(seed)
    return AgeNetwork(Architecture("test_resnet", 32, shift=shift)).eval()


def stored() -> torch.Tensor:
    """Crops with context around the 32 pixels that are served."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (150, 3, 40, 40), dtype=torch.uint8, generator=generator)


class TestTeachers:
    def test_their_mean_of_the_served_part(self) -> None:
        one, other, crops = network(0), network(1, shift=2), stored()
        found = Teachers([Teacher(one, 32), Teacher(other, 32)], half=False).shares(crops, CPU)
        assert found.dtype == torch.float32
        assert found.sum(dim=1) == pytest.approx(torch.ones(150), abs=1e-5)
        with torch.no_grad():
            expected = one.distribution(crops[:, :, 4:36, 4:36])
            expected += other.distribution(crops[:, :, 2:38, 2:38])  # its two views need a border
        assert torch.allclose(found, expected / 2, atol=1e-5)

    def test_the_side_that_they_know(self) -> None:
        crops = stored()
        found = Teachers([Teacher(network(0), 24)], half=False).shares(crops, CPU)
        served = crops[:, :, 4:36, 4:36].float()
        smaller = functional.interpolate(served, size=24, mode="bilinear", antialias=True)
        with torch.no_grad():
            expected = network(0).shares(network(0).features(smaller))
        assert torch.allclose(found, expected, atol=1e-5)

    def test_bfloat16_is_close(self) -> None:
        exact = Teachers([Teacher(network(0), 32)], half=False).shares(stored(), CPU)
        half = Teachers([Teacher(network(0), 32)], half=True).shares(stored(), CPU)
        assert 0 < float((exact - half).abs().max()) < 0.01


class TestLoading:
    def test_exported_weights_have_their_own_views(
        self, contract: Contract, tmp_path: Path
    ) -> None:
        path = tmp_path / "age.safetensors"
        architecture = Architecture("test_resnet", 32, shift=4)
        save_weights(Weights(network(0, 4), architecture, contract), path)
        teacher = load_teacher(path, shift=6)
        assert (teacher.network.crop_size, teacher.side) == (40, 32)

    def test_a_checkpoint_has_those_asked_for(self, tiny: Make, tmp_path: Path) -> None:
        fit(tiny("fit.epochs=1", "fit.side=48"))
        teacher = load_teacher(tmp_path / "run" / "best.ckpt", shift=6)
        assert (teacher.network.crop_size, teacher.side) == (64 + 12, 48)

    def test_a_checkpoint_that_kept_no_side(self, tiny: Make, tmp_path: Path) -> None:
        fit(tiny("fit.epochs=1"))
        path = tmp_path / "run" / "best.ckpt"
        stored = torch.load(path, weights_only=True)
        del stored["side"]
        torch.save(stored, path)
        assert load_teacher(path, shift=0).side == 64

    def test_a_missing_one(self, tiny: Make, tmp_path: Path) -> None:
        for name in ("none.ckpt", "none.safetensors"):
            with pytest.raises(FileNotFoundError, match=rf"{name} is missing: run python -m"):
                crop_batches(tiny(f"fit.teachers=[{tmp_path / name}]"))


class TestFit:
    def test_the_teachers_part_of_the_target(self, tiny: Make, tmp_path: Path) -> None:
        """None of it is as without them; all of it, and a network learns from another one."""
        fit(tiny(f"run={tmp_path / 'teacher'}", "fit.epochs=1"))
        teachers = f"fit.teachers=[{tmp_path / 'teacher' / 'last.ckpt'}]"

        def error(name: str, *more: str) -> float:
            return fit(tiny(f"run={tmp_path / name}", "seed=1", "fit.epochs=2", *more))

        alone = error("alone")
        assert error("none", teachers, "fit.teacher_weight=0") == alone
        assert error("all", teachers, "fit.teacher_weight=1") != alone

    @pytest.mark.parametrize("loss", ["l1", "cross_entropy"])
    def test_a_loss_that_cannot_learn_from_them(self, tiny: Make, loss: str) -> None:
        with pytest.raises(ValueError, match=rf"fit\.loss={loss} learns from no teachers: set"):
            crop_batches(tiny("fit.teachers=[any.ckpt]", f"fit.loss={loss}"))

    def test_the_card_tells_of_them(self, tiny: Make, tmp_path: Path) -> None:
        run = tmp_path / "a"
        run.mkdir()
        OmegaConf.save(tiny(f"run={run}", "model.pretrained=true"), run / "config.yaml")
        config = tiny(f"fit.teachers=[{run}/best.ckpt,b/last.ckpt,c.safetensors]")
        (said,) = (v for k, v in run_facts(config, Architecture("resnet18", 64)) if k == "training")
        teacher = "a (test_resnet, from timm's pre-trained weights)"
        assert f", 50% of the target by {teacher} and b and c; seed 0" in said
