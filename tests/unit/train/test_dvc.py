"""dvc.yaml says what the code and its configuration understand; DVC itself is not needed."""

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from tests.unit.train.conftest import CONFIGS, configuration
from train import imagenet

ROOT = Path(__file__).parents[3]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
RUNS = {"teacher": "age-teacher", "student": "age", "refined": "age-refined"}
DATA = {"data/utkface", "data/appa_real", "data/official_portraits"}


def overrides(stage: str) -> list[str]:
    """What its command tells Hydra."""
    python, option, module, *told = shlex.split(STAGES[stage]["cmd"])
    assert (python, option) == ("python", "-m")
    assert find_spec(module) is not None
    return told


def composed(stage: str) -> DictConfig:
    """Raises where the command names an experiment or a key that is not there."""
    return configuration(overrides(stage))


def paths(stage: str, *parts: str) -> list[str]:
    """Of its dependencies or outputs, with their options or without."""
    entries = [entry for part in parts for entry in STAGES[stage].get(part, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def test_the_stages_stand_in_their_order() -> None:
    assert list(STAGES) == ["prepare", "imagenet", "faceres", *RUNS, "evaluate", "export"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_dependency_is_data_or_code_or_made_before(stage: str) -> None:
    before = list(STAGES)[: list(STAGES).index(stage)]
    made = {path for each in before for path in paths(each, "outs", "metrics")}
    for path in paths(stage, "deps"):
        if path not in made | DATA:
            assert path.startswith(("handler/", "train/"))
            assert (ROOT / path).exists(), path


def test_a_module_that_a_stage_depends_on_is_in_its_command() -> None:
    graph = grimp.build_graph("train", "handler", cache_dir=None)
    for stage in STAGES:
        command = STAGES[stage]["cmd"].split()[2]
        used = {command, *graph.find_upstream_modules(command)}
        for path in paths(stage, "deps"):
            if path.startswith(("handler/", "train/")):
                assert path.removesuffix(".py").replace("/", ".") in used, stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_parameter_is_in_its_file(stage: str) -> None:
    for entry in STAGES[stage].get("params", []):
        for file, keys in entry.items():
            written = OmegaConf.load(ROOT / file)
            for key in keys or []:
                assert OmegaConf.select(written, key) is not None, f"{key} in {file}"


def test_prepare_reads_and_writes_the_folders_of_the_configuration() -> None:
    data = composed("prepare").data
    assert paths("prepare", "outs") == [f"{data.prepared}/{name}" for name in data.sources]
    for source in map(Path, data.sources.values()):
        assert {str(source), *map(str, source.parents)} & DATA
    assert set(paths("prepare", "deps")) > DATA
    for run in RUNS:
        config = composed(run)
        assert (config.data, config.crop) == (data, composed("prepare").crop)
        assert set(paths(run, "deps")) > set(paths("prepare", "outs"))


@pytest.mark.parametrize(("stage", "run"), RUNS.items())
def test_a_run_depends_on_its_experiment_and_its_start(stage: str, run: str) -> None:
    config = composed(stage)
    assert config.run == f"runs/{run}"
    parts = ("best.ckpt", "last.ckpt", "config.yaml", config.logger.version)
    assert paths(stage, "outs") == [f"{config.run}/{part}" for part in parts]
    assert overrides(stage)[0] == f"+experiment=age_{stage}"
    files = [file for entry in STAGES[stage]["params"] for file in entry]
    assert f"train/config/experiment/age_{stage}.yaml" in files
    experiment = OmegaConf.load(CONFIGS / "experiment" / f"age_{stage}.yaml")
    for inherited in experiment.get("defaults", []):
        if isinstance(inherited, str) and inherited != "_self_":  # else another group's
            assert f"train/config/experiment/{inherited}.yaml" in files
    begun = config.fit.start or config.model.weights
    assert {begun, *config.fit.teachers} <= set(paths(stage, "deps"))


def test_the_weights_that_runs_begin_from_are_fetched() -> None:
    files = [str(imagenet.OUTPUT / f"{package.backbone}.pth") for package in imagenet.PACKAGES]
    assert paths("imagenet", "outs") == files
    assert composed("student").model.weights in files
    assert composed("student").model.backbone == Path(composed("student").model.weights).stem
    assert paths("faceres", "outs") == [composed("teacher").fit.start]


def test_the_last_run_is_the_one_that_is_measured_and_exported() -> None:
    run = f"runs/{RUNS['refined']}"
    for stage in ("evaluate", "export"):
        assert composed(stage).run == run
        assert composed(stage).export.checkpoints == [f"{run}/best.ckpt"]
        assert f"{run}/best.ckpt" in paths(stage, "deps")
    assert paths("evaluate", "metrics") == [f"{run}/metrics.json"]
    assert paths("evaluate", "outs") == [f"{run}/report.html"]
    output = composed("export").export.output
    assert paths("export", "outs") == [
        f"{output}/{name}" for name in ("age.safetensors", "age.pt", "README.md", "metrics.json")
    ]
