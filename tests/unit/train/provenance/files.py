"""Files of weights with provenance."""

from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from handler.contract import Contract
from tests.torchserve import ROOT
from tests.unit.train.conftest import configuration
from train.evaluation import origins
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights
from train.provenance.provenance import KEY, Provenance
from train.provenance.runs import run_provenance

SHIPPED = ROOT / "model_store" / "age.safetensors"


def config_of(run: Path, *more: str) -> DictConfig:
    """The configuration of a run on data of one's own."""
    return configuration(["data=own", f"run={run}", "fit.epochs=3", *more])


def trained(config: DictConfig, done: int = 3, name: str = "best") -> Path:
    """A checkpoint with its provenance only, as `fit` saves it."""
    path = Path(config.run, f"{name}.ckpt")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({KEY: run_provenance(config).after(done).to_json()}, path)
    OmegaConf.save(config, path.with_name("config.yaml"), resolve=True)
    return path


def exported(path: Path, origin: Provenance | None, contract: Contract) -> Path:
    """An age.safetensors of a tiny network."""
    contract = replace(contract, provenance=origin and origin.to_json())
    architecture = Architecture("test_resnet", 64)
    torch.manual_seed(0)
    save_weights(Weights(Network(architecture).eval(), architecture, contract), path)
    return path


def assert_names_the_shipped_weights(origin: Provenance) -> None:
    text = "\n".join([origins.terms(origin), *origins.materials(origin)])
    assert "non-commercial research only, because they " in text.splitlines()[0]
    for owed in ("UTKFace", "APPA-REAL", "ImageNet", "VGGFace2", "IMDB-WIKI", "Apache 2.0", "BSD"):
        assert owed in text, owed
    assert {"utkface", "appa_real"} <= set(origin.names())
