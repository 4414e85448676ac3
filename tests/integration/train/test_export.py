"""From a trained checkpoint to a measured, exported and described model."""

import errno
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from handler.contract import ContractError
from handler.drift import Histogram, references
from handler.exported_model import read_contract
from handler.pipeline import Pipeline
from handler.predictions import OrdinalPredictions
from handler.predictor import Predictor
from handler.settings import Settings
from handler.task import DetectorSettings, FaceInput
from tests.integration.train.conftest import PHOTOS
from train import export as export_module
from train import reference
from train.configuration.tasks import task_of
from train.data.dataset import model_crops
from train.evaluate import evaluate, show
from train.evaluation import tables
from train.evaluation.metrics import Measured
from train.evaluation.results import Results
from train.export import export, packing
from train.files import error_text
from train.fit import fit
from train.modeling.checkpoint import chosen_network
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, load_weights

Make = Callable[..., DictConfig]


def test_evaluate_and_export_give_a_model_that_is_measured_and_described(
    trained: DictConfig,
) -> None:
    results = evaluate(trained)
    assert results.sources["utkface"]["mae"].count == 6
    assert results.sources["appa_real"]["mae"].count == 4
    assert sum(each["mae"].count for each in results.groups["utkface"].values()) == 6
    assert "utkface" in show(results)

    model = export(trained)
    contract = Predictor.load(model, torch.device("cpu")).contract
    stored = json.loads((Path(trained.run) / "metrics.json").read_text())
    taken = contract.task.input
    assert isinstance(taken, FaceInput)
    assert taken.size == 64 + 2 * trained.export.shift
    # what is seen of it is the crop that was trained on
    assert (1 + taken.crop.margin) * 64 / 76 == pytest.approx(1 + trained.crop.margin)
    assert taken.detector == DetectorSettings()
    assert list(contract.calibration.upper) == stored["calibration"]["upper"]
    assert contract.data == ("utkface", "appa_real")
    assert contract.metrics["test_mae_utkface"] == results.sources["utkface"]["mae"].value

    card = (model.parent / "README.md").read_text()
    mae = results.sources["utkface"]["mae"]
    assert f"| utkface | 6 | {mae} |" in card
    assert "non-commercial research only" in card
    assert json.loads((model.parent / "metrics.json").read_text()) == stored

    trained.evaluate.model = str(model)
    again = evaluate(trained)
    assert again.sources["utkface"]["mae"].value == pytest.approx(mae.value, abs=0.01)
    assert again.sources["utkface"]["coverage"] == results.sources["utkface"]["coverage"]


def test_a_run_is_exported_with_the_settings_that_it_was_trained_with(
    trained: DictConfig, tiny: Make, tmp_path: Path
) -> None:
    first = Path(trained.run)
    second = tiny(
        f"run={tmp_path / 'second'}",
        f"fit.start={first / 'best.ckpt'}",
        "crop.margin=0.1",
        "model.frozen=true",
        *("fit.epochs=1", "fit.accumulate=2", "fit.ema=0.9", "fit.loss=l1"),
    )
    fit(second)
    careless = tiny(f"run={tmp_path / 'second'}", f"export.output={tmp_path / 'store'}")
    evaluate(careless)
    model = export(careless)
    contract = Predictor.load(model, torch.device("cpu")).contract
    assert isinstance(contract.task.input, FaceInput)
    assert contract.task.input.crop.margin == pytest.approx(1.1 * 76 / 64 - 1)
    card = (model.parent / "README.md").read_text()
    assert re.search(r"\n\| 1 \| run: test_resnet, 1 epoch, batch 4, .* \| scratch \|", card)
    assert "\n| 2 | second: test_resnet, 1 epoch, batch 8, AdamW, one cycle up to 0.002, " in card
    assert (
        ", heads only, moving average 0.9, loss l1; seed 0 | 1 | - | utkface, appa_real |" in card
    )

    shutil.rmtree(first)
    assert (export(careless).parent / "README.md").read_text() == card


def test_report_metrics_and_card_say_the_same(trained: DictConfig, portraits_folder: Path) -> None:
    trained.evaluate.portraits = str(portraits_folder)
    evaluate(trained)
    run = Path(trained.run)
    stored = json.loads((run / "metrics.json").read_text())
    assert stored["portraits"]["lost"] == 3
    figures = stored["portraits"]["figures"]
    assert figures["inside5"]["count"] == 2
    page = (run / "report.html").read_text(encoding="utf-8")
    card = (export(trained).parent / "README.md").read_text()
    results = Results.from_json(stored, trained.data.sources)
    every = [table(results) for table in (tables.sources, tables.checks, tables.groups)]
    assert every[0].rows[-1][2] == str(Measured(**figures["mae"]))
    for table in (*every, tables.people(results)):
        assert len(table.rows) >= 4
        for row in table.rows:
            assert f"| {' | '.join(row)} |" in card
            assert "".join(f"<td>{cell}</td>" for cell in row[1:]) in page
    for text in ("a distribution over the years 0 to 116", "1 epoch, batch 4, AdamW", "UTKFace"):
        assert text in card
        assert text in page


def test_another_split_is_measured_beside_the_test_split(evaluated: DictConfig) -> None:
    run = Path(evaluated.run)
    first = Results.from_json(
        json.loads((run / "metrics.json").read_text()), evaluated.data.sources
    )
    kept = {name: (run / name).read_bytes() for name in ("metrics.json", "report.html")}
    evaluated.evaluate.split = "val"
    other = evaluate(evaluated)
    assert other.sources["utkface"]["mae"].value != first.sources["utkface"]["mae"].value
    stored = json.loads((run / "metrics-val.json").read_text())
    assert Results.from_json(stored, evaluated.data.sources) == other
    assert {name: (run / name).read_bytes() for name in kept} == kept


def test_figures_of_other_views_are_not_exported(evaluated: DictConfig) -> None:
    evaluated.export.shift = 2
    with pytest.raises(ValueError, match=r"evaluated with export\.shift=6: evaluate it again with"):
        export(evaluated)
    assert not Path(evaluated.export.output).exists()


def test_weights_are_averaged_and_measured_before_they_are_exported(
    evaluated: DictConfig, tmp_path: Path
) -> None:
    checkpoint = torch.load(Path(evaluated.run, "best.ckpt"), weights_only=True)
    name = next(name for name in checkpoint["state_dict"] if name.startswith("network."))
    before = checkpoint["state_dict"][name].clone()
    checkpoint["state_dict"][name] += 0.02
    torch.save(checkpoint, tmp_path / "other.ckpt")

    evaluated.export.checkpoints.append(str(tmp_path / "other.ckpt"))
    with pytest.raises(
        ValueError, match=r"export\.checkpoints=.*other\.ckpt.*: evaluate the run again"
    ):
        export(evaluated)
    assert not Path(evaluated.export.output).exists()

    evaluate(evaluated)
    model = export(evaluated)
    exported = load_weights(model.with_name("age.safetensors")).network.state_dict()
    assert torch.allclose(exported[name.removeprefix("network.")], before + 0.01, atol=1e-4)
    # both say that they are of one epoch of the same run
    card = (model.parent / "README.md").read_text()
    assert "\n| 2 | run: the mean of these weights | 1 | - | - |" in card


def test_the_last_epoch_is_exported(trained: DictConfig) -> None:
    last = torch.load(Path(trained.run, "last.ckpt"), weights_only=True)
    name = next(name for name in last["state_dict"] if name.startswith("network."))
    last["state_dict"][name] += 0.02  # it may be the best one, too
    torch.save(last, Path(trained.run, "last.ckpt"))
    trained.export.checkpoints = ["${run}/last.ckpt"]
    evaluate(trained)
    model = export(trained)
    exported = load_weights(model.with_name("age.safetensors")).network.state_dict()
    found = exported[name.removeprefix("network.")]
    assert torch.allclose(found, last["state_dict"][name], atol=1e-4)
    card = (model.parent / "README.md").read_text()
    assert "\n| 1 | run: test_resnet, 1 epoch, batch 4, " in card


def test_an_empty_list_of_checkpoints_is_refused(trained: DictConfig) -> None:
    trained.export.checkpoints = []
    with pytest.raises(ValueError, match=r"export\.checkpoints is empty: name one"):
        evaluate(trained)


def test_weights_of_another_network_are_not_averaged(trained: DictConfig, tmp_path: Path) -> None:
    checkpoint = torch.load(Path(trained.run, "best.ckpt"), weights_only=True)
    checkpoint["architecture"]["size"] += 8
    torch.save(checkpoint, tmp_path / "other.ckpt")
    trained.export.checkpoints.append(str(tmp_path / "other.ckpt"))
    with pytest.raises(ValueError, match=r"other\.ckpt is of another network"):
        evaluate(trained)


def test_the_command_at_the_end_packs_what_was_exported(tmp_path: Path) -> None:
    """Wherever that is: `serve` and `archive` take another file otherwise."""
    model = tmp_path / "Grandma's faces (1)" / "age.pt"
    assert shlex.split(packing(model)) == ["python", "scripts/archive.py", "--model", str(model)]


def test_onto_a_full_disk_nothing_is_exported(
    evaluated: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, output = Path(evaluated.run), Path(evaluated.export.output)
    export(evaluated)
    names = {"age.safetensors", "age.pt", "age.pt.json", "metrics.json", "README.md"}
    assert {path.name for path in output.iterdir()} == names

    def contents() -> dict[Path, bytes]:
        files = [*run.iterdir(), *output.iterdir()]
        return {path: path.read_bytes() for path in files if path.is_file()}

    before = contents()
    evaluated.export.int8 = False
    write, fsync = Path.write_bytes, os.fsync
    calls = 0

    def full(function: Callable[..., Any], after: int) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*arguments)

        return call

    for owner, name, function, after in (
        (Path, "write_bytes", write, 0),
        (Path, "write_bytes", write, 4),
        (os, "fsync", fsync, 3),  # where a file system finds room only then
        (os, "fsync", fsync, 8),  # and of a folder, as all files are in their places
    ):
        calls = 0
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full(function, after))
            with pytest.raises(OSError, match="No space left") as caught:
                export(evaluated)
        assert error_text(caught.value).startswith("No space left on device: ")
        assert contents() == before
    export(evaluated)
    assert contents().keys() == before.keys()
    assert contents()[output / "age.pt"] != before[output / "age.pt"]


def test_export_wants_a_measured_run(trained: DictConfig) -> None:
    with pytest.raises(FileNotFoundError, match=r"run python -m train\.evaluate first"):
        export(trained)


def set_in_run(config: DictConfig, key: str, value: float) -> None:
    """Change the run's own configuration."""
    file = Path(config.run, "config.yaml")
    trained = OmegaConf.load(file)
    OmegaConf.update(trained, key, value)
    OmegaConf.save(trained, file)


def test_int8_is_exported_unless_disabled(
    evaluated: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    set_in_run(evaluated, "task.int8_cost", 100.0)
    model = export(evaluated)
    assert Predictor.load(model, torch.device("cpu"), "int8").precision == "int8"
    output = capsys.readouterr().out
    assert re.search(r"years by [+-]0\.\d+ \[.*\] on 5 crops: exported\n", output)
    few = "int8 was measured on 5 crops, and its ranges are from 5: 100 of each are more reliable"
    assert f"warning: {few}" in output
    assert few in (model.parent / "README.md").read_text()
    evaluated.export.int8 = False
    with pytest.raises(ContractError, match=r"exported with export\.int8=true"):
        Predictor.load(export(evaluated), torch.device("cpu"), "int8")
    assert "int8" not in capsys.readouterr().out


def test_int8_that_costs_too_much_is_not_exported(
    evaluated: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    set_in_run(evaluated, "task.int8_cost", -100.0)
    assert load_weights(export(evaluated).with_suffix(".safetensors")).ranges is None
    assert "on 5 crops: not exported" in capsys.readouterr().out


def test_the_reference_of_a_folder_goes_into_the_model(
    evaluated: DictConfig,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(reference, "ENOUGH", PHOTOS)
    assert read_contract(export(evaluated)).reference is None
    evaluated.export.reference = str(photos)
    model = export(evaluated)
    assert f"sharpness of {PHOTOS}" in capsys.readouterr().out
    found = references([read_contract(model)])
    assert found == references([load_weights(model.with_suffix(".safetensors")).contract])
    assert found.keys() == {"confidence", "face_size", "brightness", "sharpness", "age"}

    pipeline = Pipeline.load([model], Settings(), torch.device("cpu"))
    served = reference.properties(pipeline, reference.image_files(photos))
    assert {name: Histogram.of(values) for name, values in served.items()} == found


def test_a_reference_of_nothing_is_refused_and_nothing_is_exported(
    evaluated: DictConfig, photos: Path
) -> None:
    output = Path(evaluated.export.output)
    evaluated.export.reference = str(photos)
    with pytest.raises(ValueError, match=f"has {PHOTOS} images with a face"):
        export(evaluated)
    evaluated.export.reference = str(photos / "nowhere")
    with pytest.raises(ValueError, match="nowhere is no folder"):
        export(evaluated)
    assert not (output / "age.pt").exists()


def test_a_backbone_that_cannot_be_quantized(
    evaluated: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Winding(torch.nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            return faces if faces.sum() > 0 else -faces

    def measured(path: Path) -> Weights:
        weights = load_weights(path)
        weights.network.backbone = Winding()
        return weights

    def chosen(config: DictConfig) -> tuple[Network, Architecture]:
        network, architecture = chosen_network(config)
        network.backbone = Winding()
        return network, architecture

    monkeypatch.setattr(export_module, "load_weights", measured)
    monkeypatch.setattr(export_module, "chosen_network", chosen)
    with pytest.raises(ValueError, match=r"no int8 for this backbone, set export\.int8=false: "):
        export(evaluated)


def test_evaluate_wants_a_run(tiny: Make) -> None:
    with pytest.raises(FileNotFoundError, match=r"run python -m train\.fit first, or set run="):
        evaluate(tiny())


def test_a_model_that_differs_from_the_network_is_not_installed(
    evaluated: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_network = export_module.network_predictions

    def older(*arguments: Any) -> OrdinalPredictions:
        found = of_network(*arguments)
        assert isinstance(found, OrdinalPredictions)
        return replace(found, value=found.value + np.float32(0.06))

    monkeypatch.setattr(export_module, "network_predictions", older)
    with pytest.raises(
        ValueError, match=r"differs from the network by up to 0\.06\d years .* nothing was exported"
    ):
        export(evaluated)
    assert not Path(evaluated.export.output).exists()


def test_a_model_with_two_views_takes_more_around_the_same_crops(trained: DictConfig) -> None:
    narrow = model_crops(trained, "val", task_of(trained)).crops
    wide = model_crops(trained, "val", task_of(trained, 76)).crops
    assert wide.shape[-1] == 76
    assert torch.equal(wide[..., 6:-6, 6:-6], narrow)
    with pytest.raises(ValueError, match="takes crops of another size"):  # 80 are stored
        model_crops(trained, "val", task_of(trained, 88))


def test_evaluate_refuses_crops_of_another_size(trained: DictConfig, model_file: Path) -> None:
    trained.evaluate.model = str(model_file)
    trained.crop.size = 32
    with pytest.raises(ValueError, match=r"takes crops of another .*crop\.size.*prepare again"):
        evaluate(trained)
