"""Real training of a tiny network: seeds, kills, resumption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from omegaconf import DictConfig
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from handler.contract import Contract
from tests.unit.train.conftest import configuration
from train.configuration.settings import prepared_folders
from train.data.augment import Augmentation
from train.data.dataset import CropDataset
from train.fit import fit
from train.fitting.build import learner
from train.fitting.trainer import fastest_precision
from train.modeling.checkpoint import load_checkpoint
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.weights import Weights, save_weights

Make = Callable[..., DictConfig]
LOG_EACH = "+trainer.log_every_n_steps=1"
STANDSTILL = ("model.frozen=true", "fit.learning_rate=0")  # every epoch has the same error


def checkpoint(run: Path, name: str = "last") -> dict[str, Any]:
    """One of a run's checkpoints, whole."""
    loaded: dict[str, Any] = torch.load(run / f"{name}.ckpt", weights_only=True)
    return loaded


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The last state of a run's network and helper heads."""
    state: dict[str, torch.Tensor] = checkpoint(run)["state_dict"]
    return state


def logged(run: Path, name: str) -> list[float]:
    """What TensorBoard was told."""
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    return [event.value for event in events.Scalars(name)]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_run_learns_and_keeps_its_best_checkpoint(tiny: Make, tmp_path: Path) -> None:
    start = fit(tiny(f"run={tmp_path / 'start'}", "fit.epochs=1", "fit.learning_rate=1e-6"))
    score = fit(tiny("fit.epochs=15", "fit.learning_rate=5e-3", "augment.erase=0"))
    assert score < start - 5
    run = tmp_path / "run"
    assert {"best.ckpt", "last.ckpt", "config.yaml", "tensorboard"} <= {
        p.name for p in run.iterdir()
    }
    callbacks = torch.load(run / "best.ckpt", weights_only=True)["callbacks"]
    (saved,) = (v for k, v in callbacks.items() if "val/mae" in k)
    assert float(saved["best_model_score"]) == pytest.approx(score)


def test_the_last_checkpoint_is_of_the_last_epoch_and_not_of_the_best(
    tiny: Make, tmp_path: Path
) -> None:
    fit(tiny(*STANDSTILL))
    epochs = {n: checkpoint(tmp_path / "run", n)["epoch"] for n in ("best", "last")}
    assert epochs == {"best": 0, "last": 2}


def test_a_seed_gives_the_same_numbers_twice_and_another_seed_others(
    tiny: Make, tmp_path: Path
) -> None:
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        score = fit(tiny(f"run={tmp_path / name}", f"seed={seed}", "fit.epochs=2"))
        runs.append((score, weights(tmp_path / name)))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])
    assert not same(runs[0][1], runs[2][1])


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["fit.ema=0.9", "fit.accumulate=2", "fit.patience=12"],
        ["fit.teachers=[TEACHER]", "fit.feature_weight=1.0", "fit.mixup=0.5"],
    ],
)
def test_a_killed_run_resumes_to_the_numbers_of_an_unbroken_one(
    tiny: Make, prepared: list[str], tmp_path: Path, more: list[str]
) -> None:
    epochs = 12
    teacher = tmp_path / "teacher" / "last.ckpt"
    fit(tiny(f"run={teacher.parent}", "fit.epochs=1"))
    more = [value.replace("TEACHER", str(teacher)) for value in more]
    unbroken = fit(tiny(f"run={tmp_path / 'unbroken'}", f"fit.epochs={epochs}", *more))
    config = tiny(f"fit.epochs={epochs}", *more)
    command = [
        sys.executable, "-m", "train.fit", *prepared, f"run={config.run}",
        "model.backbone=test_resnet", "fit.batch_size=4", "fit.precision=32-true",
        f"fit.epochs={epochs}", *more,
    ]  # fmt: skip
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        command, env=os.environ | threads, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    last = Path(config.run) / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    done = torch.load(last, weights_only=True)["epoch"] + 1
    assert 0 < done < epochs

    config.fit.resume = True
    assert fit(config) == pytest.approx(unbroken, abs=1e-5)
    assert same(weights(Path(config.run)), weights(tmp_path / "unbroken"))
    assert checkpoint(Path(config.run))["epoch"] == epochs - 1


def test_the_moving_average_is_what_is_measured_and_kept(tiny: Make, tmp_path: Path) -> None:
    score = fit(tiny("fit.ema=0.9"))
    trained = checkpoint(tmp_path / "run")["current_model_state"]
    assert not same(trained, weights(tmp_path / "run"))
    network, _ = load_checkpoint(tmp_path / "run" / "best.ckpt")
    val = CropDataset(prepared_folders(tiny()), "val", 64)
    with torch.no_grad():
        age, _ = network(val.crops)
    assert float((age - val.age).abs().mean()) == pytest.approx(score, abs=1e-4)


def test_a_frozen_backbone_stays_as_it_is(tiny: Make, tmp_path: Path) -> None:
    config = tiny("model.frozen=true", "fit.learning_rate=1e-2")
    torch.manual_seed(config.seed)
    before = learner(config).state_dict()
    fit(config)
    after = weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if not name.startswith("network.backbone.")}
    assert any("running_mean" in name for name in before.keys() - changed)


def test_parts_of_the_backbone_are_frozen_by_name(tiny: Make, tmp_path: Path) -> None:
    config = tiny("model.frozen=[conv1,bn1,layer1.0]", "fit.learning_rate=1e-2", "fit.epochs=1")
    torch.manual_seed(config.seed)
    before = learner(config).state_dict()
    fit(config)
    after = weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = tuple(f"network.backbone.{part}." for part in ("conv1", "bn1", "layer1.0"))
    assert changed == {name for name in before if not name.startswith(frozen)}
    with pytest.raises(ValueError, match=r"model\.frozen: .*stem.*; its parts are conv1, bn1, "):
        learner(tiny("model.frozen=[stem]"))


def test_batches_are_accumulated_and_augmented_each_on_its_own(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    original = Augmentation.__call__

    def noting(self: Augmentation, *arguments: Any) -> torch.Tensor:
        seeds.append(torch.initial_seed())
        return original(self, *arguments)

    monkeypatch.setattr(Augmentation, "__call__", noting)
    fit(tiny("fit.accumulate=2"))
    assert len(seeds) == len(set(seeds)) == 3 * 5  # epochs, batches
    assert checkpoint(tmp_path / "run")["global_step"] == 3 * 3  # the last step takes what is left


@pytest.mark.parametrize(("clip", "moves"), [(5.0, True), (1e-15, False)])
def test_gradients_are_clipped(tiny: Make, tmp_path: Path, clip: float, moves: bool) -> None:
    """AdamW's steps are as long for small gradients as for large ones, but not for next to none."""
    config = tiny(f"fit.clip={clip}", "fit.weight_decay=0", "fit.epochs=1")
    torch.manual_seed(config.seed)
    before = dict(learner(config).named_parameters())
    fit(config)
    after = weights(tmp_path / "run")
    moved = max((after[name] - before[name].detach()).abs().max().item() for name in before)
    assert (moved > 1e-4) is moves
    assert moves or moved < 1e-6


@pytest.mark.filterwarnings("ignore:Precision bf16-mixed is not supported by the model summary")
def test_mixed_precision_computes_in_bfloat16_and_keeps_float32(tiny: Make, tmp_path: Path) -> None:
    kinds = set()

    def note(module: torch.nn.Module, _: object, output: Any) -> None:
        if isinstance(module, torch.nn.Conv2d):
            kinds.add(output.dtype)

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        fit(tiny("fit.precision=bf16-mixed", "fit.epochs=1", LOG_EACH))
    finally:
        hook.remove()
    assert kinds == {torch.bfloat16}
    state = weights(tmp_path / "run")
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}
    losses = logged(tmp_path / "run", "train/loss")
    assert len(losses) == 5
    assert torch.tensor(losses).isfinite().all()


def test_a_run_without_progress_stops_early_and_stays_so(tiny: Make, tmp_path: Path) -> None:
    config = tiny(*STANDSTILL, "fit.epochs=9", "fit.patience=2")
    score = fit(config)
    assert checkpoint(tmp_path / "run")["epoch"] == 2  # the first was the best
    config.fit.resume = True
    assert fit(config) == score
    assert checkpoint(tmp_path / "run")["epoch"] == 2


def test_the_rate_rises_and_falls_along_a_cosine(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("fit.warmup=0.2", "fit.epochs=4", "fit.learning_rate=1e-3", LOG_EACH))
    rates = logged(tmp_path / "run", "lr-AdamW/pg1")
    assert len(rates) == 4 * 5
    assert max(rates) == rates[3] == pytest.approx(1e-3)
    middle = 3 + (20 - 1 - 3) // 2
    assert rates[middle] == pytest.approx(0.5e-3, rel=1e-3)
    assert rates[-1] < 1e-6


def test_a_local_file_of_timm_s_weights(tiny: Make, tmp_path: Path) -> None:
    published = timm.create_model("test_resnet").state_dict()
    save_file(published, tmp_path / "test_resnet.safetensors")
    module = learner(tiny(f"model.weights={tmp_path / 'test_resnet.safetensors'}"))
    for name, value in module.network.backbone.state_dict().items():
        assert torch.equal(value, published[name])
    with pytest.raises(FileNotFoundError, match=r"none\.pth is missing: set model\.weights"):
        learner(tiny(f"model.weights={tmp_path / 'none.pth'}"))


def test_a_profile_is_written_into_the_run(tiny: Make, tmp_path: Path) -> None:
    fit(tiny("profiler=simple", "fit.epochs=1"))
    assert "run_training_batch" in (tmp_path / "run" / "fit-profile.txt").read_text()


def test_a_run_starts_from_another_one_s_weights(tiny: Make, tmp_path: Path) -> None:
    fit(tiny())
    start = tmp_path / "run" / "last.ckpt"
    # with a start, timm's weights are not asked for
    more = ("model.pretrained=true", "fit.learning_rate=1e-9")
    fit(tiny(f"run={tmp_path / 'next'}", f"fit.start={start}", *more))
    before, after = weights(tmp_path / "run"), weights(tmp_path / "next")
    assert torch.allclose(before["network.head.weight"], after["network.head.weight"], atol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"run python -m train\.fit first"):
        fit(tiny(f"run={tmp_path / 'none'}", f"fit.start={tmp_path / 'none.ckpt'}"))


def test_a_run_starts_from_shipped_weights(tiny: Make, tmp_path: Path, contract: Contract) -> None:
    """They have no helper heads: those are new."""
    architecture = Architecture("test_resnet", 64, mean=(0.4, 0.3, 0.2))
    network = AgeNetwork(architecture)
    start = tmp_path / "age.safetensors"
    save_weights(Weights(network, architecture, contract), start)
    module = learner(tiny(f"fit.start={start}"))
    assert module.architecture.mean == (0.4, 0.3, 0.2)
    for name, value in network.state_dict().items():
        assert torch.allclose(module.network.state_dict()[name], value, atol=1e-3)  # kept in half
    fit(tiny("fit.epochs=1", f"fit.start={start}"))
    assert "helpers.gender.weight" in checkpoint(tmp_path / "run")["state_dict"]
    with pytest.raises(ValueError, match=r"holds weights of test_resnet: set model\.backbone"):
        learner(tiny(f"fit.start={start}", "model.backbone=resnet18"))
    with pytest.raises(FileNotFoundError, match=r"missing"):
        learner(tiny(f"fit.start={tmp_path / 'none.safetensors'}"))


def test_a_start_keeps_the_pixels_that_its_weights_know(tiny: Make, tmp_path: Path) -> None:
    """Runs that began before timm's normalisation was taken had ImageNet's for all backbones."""
    fit(tiny("fit.epochs=1"))
    start = tmp_path / "run" / "last.ckpt"
    stored = checkpoint(tmp_path / "run")
    assert stored["architecture"]["mean"] == (0.5, 0.5, 0.5)
    stored["architecture"]["mean"] = (0.4, 0.3, 0.2)
    torch.save(stored, start)
    assert learner(tiny(f"fit.start={start}")).architecture.mean == (0.4, 0.3, 0.2)
    assert learner(tiny("fit.resume=true")).architecture.mean == (0.4, 0.3, 0.2)


def test_a_run_is_not_overwritten_and_none_is_resumed_from_nothing(
    tiny: Make, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="there is nothing to resume"):
        fit(tiny("fit.resume=true"))
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "last.ckpt").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"set fit\.resume=true, or run=ANOTHER_FOLDER"):
        fit(tiny())
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == b"precious"
    (tmp_path / "run" / "last.ckpt").rename(tmp_path / "run" / "best.ckpt")
    with pytest.raises(FileExistsError, match=r"holds best\.ckpt and no last\.ckpt to go on from"):
        fit(tiny())
    assert (tmp_path / "run" / "best.ckpt").read_bytes() == b"precious"


def test_without_crops_it_says_what_to_run(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"utkface is not prepared: run python -m train\.prepare"):
        fit(tiny(f"data.prepared={tmp_path}"))


def test_too_many_bad_pictures_refuse_a_run_unless_it_is_told_otherwise(
    tiny: Make, prepared: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(configuration(prepared).data.prepared, folder)
    summary = folder / "appa_real" / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"unusable": 1}))
    here = f"data.prepared={folder}"
    with pytest.raises(
        ValueError, match=r"appa_real: 5\.9% .*, more than 1\.0%: look at .*max_bad"
    ):
        fit(tiny(here))
    assert fit(tiny(here, "data.max_bad=0.06", "fit.epochs=1")) > 0


def test_the_same_pictures_in_two_data_sets_are_warned_of(
    tiny: Make, prepared: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(configuration(prepared).data.prepared, folder)
    shutil.copytree(folder / "utkface", folder / "facial_age")
    config = tiny(f"data.prepared={folder}", "+data.sources.facial_age=chips", "fit.epochs=1")
    fit(config)
    assert "facial_age and utkface show the same pictures" in caplog.text


def test_two_processes_have_the_losses_of_one(
    tiny: Make, prepared: list[str], tmp_path: Path
) -> None:
    """Two batches of 4 are one of 8, without chance and batch norm, which know their own alone."""
    shared = [
        "model.backbone=test_vit", "model.drop_path=0", "fit.epochs=2", "fit.precision=32-true",
        "fit.ema=0.9", "+trainer.accelerator=cpu", LOG_EACH,
        *(f"augment.{name}=0" for name in configuration([]).augment if name != "scale"),
        "augment.scale=[1,1]",
    ]  # fmt: skip
    alone = fit(tiny(*shared, "fit.batch_size=8"))
    run = tmp_path / "two"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "train.fit", *prepared, *shared, f"run={run}", "fit.batch_size=4",
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.count("best validation MAE") == 1

    for name, expected in (("train/loss", 2 * 2), ("val/mae", 2)):
        found, wanted = logged(run, name), logged(tmp_path / "run", name)
        assert len(found) == expected
        assert found == pytest.approx(wanted, rel=1e-4)
    assert logged(run, "val/mae")[-1] == pytest.approx(alone, rel=1e-4)
    found, wanted = weights(run), weights(tmp_path / "run")
    assert all(torch.allclose(found[k], wanted[k], atol=1e-4) for k in wanted)
    files = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
    assert len([name for name in files if "tfevents" in name]) == 1
    assert {name for name in files if "tfevents" not in name} == {
        "best.ckpt", "last.ckpt", "previous.ckpt", "config.yaml", "tensorboard/hparams.yaml",
        *(f"hydra/fit/{name}" for name in ("config.yaml", "hydra.yaml", "overrides.yaml")),
        "hydra/fit/fit.log",
    }  # fmt: skip
    assert (run / "hydra" / "fit" / "fit.log").read_text().count("precision 32-true") == 1


def test_fastest_precision_is_one_that_the_hardware_has() -> None:
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported() or torch.cuda.is_available()
    assert fastest_precision() == ("bf16-mixed" if native else "32-true")
