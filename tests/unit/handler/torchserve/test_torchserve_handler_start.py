"""How the adapter starts, driven by TorchServe's own loader and context."""

import json
import logging
import math
import shutil
import warnings
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

import handler.torchserve_handler
from handler.contract import Contract, ContractError
from handler.hardware import fast_in_bfloat16
from handler.integrity import HASHES, IntegrityError, weights_identity
from handler.pipeline import Pipeline
from handler.settings import SettingsError
from handler.torchserve_handler import TorchServeHandler
from tests.archives import exported
from tests.unit.handler.torchserve.worker import (
    SCENE,
    SOURCE,
    YAML,
    ask,
    configured,
    listed,
    load,
    request,
    worker,
)

with warnings.catch_warnings(action="ignore"):
    pass


pytestmark = pytest.mark.usefixtures("torchserve")


class Broken(torch.nn.Module):
    """A model whose weights are not finite."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return torch.full((len(faces), 117), float("nan"))


class Loaded(Exception):
    """Enough of an initialisation."""


class TestInitialize:
    @pytest.fixture(autouse=True)
    def warmed_up(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The batch sizes that were asked for."""
        sizes: list[int] = []
        monkeypatch.setattr(Pipeline, "warm_up", lambda pipeline, size: sizes.append(size))
        return sizes

    def test_warms_up(self, archive: Path, warmed_up: list[int]) -> None:
        load(archive)
        assert warmed_up == [4]

    def test_from_the_root_of_an_archive(self, archive: Path) -> None:
        service = load(archive, module=None)
        assert service._entry_point.__func__.__code__.co_filename == str(archive / SOURCE.name)
        ((status, *_),) = ask(service, request({"body": SCENE}))
        assert status == 200

    def test_says_what_was_loaded(
        self, archive: Path, model_file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "handler"):
            load(archive)
        (line,) = [r.getMessage() for r in caplog.records if r.name == "handler.torchserve_handler"]
        precision = "bfloat16" if fast_in_bfloat16() else "float32"
        words = f"age 2.5, weights {weights_identity(model_file)}, on cpu, "
        words += f"torch {torch.__version__} with 1 threads; age in {precision}, FaceInput("
        assert line.startswith(words)
        assert "size=64" in line
        assert "thresholds=(0.6, 0.7, 0.7)" in line
        assert "max_pixels=300000, max_images=16, min_face_size=30" in line

    @pytest.mark.parametrize("config", ["", "handler:\n", "batchSize: 4\n"])
    def test_without_settings(self, archive: Path, tmp_path: Path, config: str) -> None:
        service = load(configured(archive, tmp_path, config))
        ((status, *_),) = ask(service, request({"body": SCENE}))
        assert status == 200

    def test_settings_that_are_wrong(self, archive: Path, tmp_path: Path) -> None:
        copy = configured(archive, tmp_path, "handler: {max_side: big}")
        with pytest.raises(SettingsError, match=r"handler\.max_side must be a whole number"):
            load(copy)

    def test_a_file_that_was_exchanged(self, archive: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(archive, tmp_path / "copy")
        (copy / "age.pt").write_bytes(b"another")
        with pytest.raises(IntegrityError, match=r"^'age\.pt' is not the file that was packed$"):
            load(copy)

    def test_precision(
        self, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        copy = configured(archive, tmp_path, "handler: {precision: float32}")
        with caplog.at_level(logging.INFO, "handler"):
            load(copy)
        (line,) = [r.getMessage() for r in caplog.records if r.name == "handler.torchserve_handler"]
        assert "; age in float32, " in line

    def test_keeps_freed_memory(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = Mock()
        monkeypatch.setattr("handler.torchserve_handler.keep_freed_memory", kept)
        load(archive)
        kept.assert_called_once_with()

    @pytest.mark.parametrize(
        ("gpus", "cores", "workers", "setting", "threads"),
        [
            (0, 8, "", 0, 1),  # there is a worker for each core
            (0, 8, "2", 3, 3),
            (1, 8, "", 0, 8),  # there is a worker for each GPU
            (1, 16, "4", 0, 4),
            (1, 16, "0", 0, 16),  # TorchServe's own choice
            (2, 7, "", 0, 3),
            (4, 2, "", 0, 1),
            (2, 8, "4", 1, 1),
            (0, 4, "", 64, 4),  # more would wait for each other
        ],
    )
    def test_threads(
        self,
        archive: Path,
        monkeypatch: pytest.MonkeyPatch,
        gpus: int,
        cores: int,
        workers: str,
        setting: int,
        threads: int,
    ) -> None:
        asked = Mock()
        monkeypatch.setattr(torch, "set_num_threads", asked)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setenv("TS_DEFAULT_WORKERS_PER_MODEL", workers)
        monkeypatch.setattr("handler.torchserve_handler.cores", lambda: cores)
        monkeypatch.setattr("handler.torchserve_handler.Pipeline.load", Mock(side_effect=Loaded))
        service = worker(archive, gpu=0 if gpus else None)
        service.context.model_yaml_config = {"handler": {"threads": setting}}
        with pytest.raises(Loaded):
            TorchServeHandler().initialize(service.context)
        asked.assert_called_once_with(threads)

    @pytest.mark.parametrize(
        ("gpu", "available", "device"),
        [(None, True, "cpu"), (0, False, "cpu"), (0, True, "cuda:0"), (3, True, "cuda:3")],
    )
    def test_device(
        self,
        archive: Path,
        monkeypatch: pytest.MonkeyPatch,
        gpu: int | None,
        available: bool,
        device: str,
    ) -> None:
        def loaded(
            files: list[Path], settings: object, device: torch.device, progress: object
        ) -> None:
            raise Loaded([file.name for file in files], str(device))

        monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
        monkeypatch.setattr("handler.torchserve_handler.Pipeline.load", loaded)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        monkeypatch.setattr(torch, "set_num_threads", Mock())
        with pytest.raises(Loaded) as caught:
            TorchServeHandler().initialize(worker(archive, gpu).context)
        assert caught.value.args == (["age.pt"], device)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("contract", "has 'margin' in 'crop' as nan"),
        ("weights", "the model of age gives values that are not finite"),
        ("list", "it has no hashes.json"),
        ("settings", "handler has an unknown key 'a'"),
    ],
)
def test_one_log_line_says_why_a_model_is_not_served(
    archive: Path,
    contract: Contract,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
    words: str,
) -> None:
    copy = configured(archive, tmp_path, "handler: {a: 1}\n" if what == "settings" else YAML)
    if what in ("contract", "weights"):
        values = json.loads(contract.to_json())
        if what == "contract":
            values["task"]["input"]["faces"]["crop"]["margin"] = math.nan
        exported(Broken(), json.dumps(values), copy / "age.pt")
        listed(copy)
    if what == "list":
        (copy / HASHES).unlink()
    with pytest.raises((ContractError, IntegrityError, SettingsError)):
        load(copy)
    (record,) = [r for r in caplog.records if r.name == handler.torchserve_handler.__name__]
    assert record.levelno == logging.CRITICAL
    (line,) = record.getMessage().splitlines()
    assert line.startswith("the model cannot be served: ")
    assert words in line
