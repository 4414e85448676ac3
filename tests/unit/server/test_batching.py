"""server/batching.py; tests/service asks a real TorchServe what it took."""

import json
from pathlib import Path

import pytest

from server.batching import batch_size, gpu_count, with_batch_sizes
from server.readiness import read_properties

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.properties"
    file.write_text("metrics_mode=prometheus")  # and no end of the line
    return file


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """Have an nvidia-smi that prints `lines`."""
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path / "bin", monkeypatch, "echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'")


class TestGpuCount:
    @pytest.mark.usefixtures("no_gpu")
    def test_without_nvidia_smi_there_is_none(self) -> None:
        assert gpu_count() == 0

    @pytest.mark.parametrize("count", [1, 3])
    def test_what_is_listed(
        self, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = "\n".join(f"echo 'GPU {i}: NVIDIA H200 (UUID: GPU-{i})'" for i in range(count))
        nvidia_smi(tmp_path / "bin", monkeypatch, lines)
        assert gpu_count() == count

    @pytest.mark.parametrize("lines", ["exit 9", "echo 'No devices found.'", ":"])
    def test_a_driver_without_a_gpu(
        self, lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nvidia_smi(tmp_path / "bin", monkeypatch, lines)
        assert gpu_count() == 0


@pytest.mark.usefixtures("no_gpu")
def test_on_a_cpu_few_wait_for_each_other() -> None:
    assert batch_size() == 2


@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_batches_are_larger() -> None:
    assert batch_size() == 8


@pytest.mark.usefixtures("no_gpu")
class TestWithBatchSizes:
    def test_names_every_version_of_every_model(self, config: Path, tmp_path: Path) -> None:
        models = [("age", "1.0"), ("age", "2.0"), ("other", "7")]
        copy = with_batch_sizes(config, models, tmp_path / "copy")
        read = read_properties(copy)
        assert json.loads(read.pop("models")) == {
            "age": {"1.0": {"batchSize": 2}, "2.0": {"batchSize": 2}},
            "other": {"7": {"batchSize": 2}},
        }
        assert read == read_properties(config) == {"metrics_mode": "prometheus"}

    def test_a_line_of_ones_own_is_kept(self, config: Path, tmp_path: Path) -> None:
        config.write_text('models={"age": {"1.0": {"batchSize": 3}}}\n')
        assert with_batch_sizes(config, [], tmp_path / "copy") == config
        assert not (tmp_path / "copy").exists()

    def test_the_shipped_configuration_leaves_it_to_the_machine(self, tmp_path: Path) -> None:
        shipped = ROOT / "config.properties"
        assert with_batch_sizes(shipped, [], tmp_path / "copy") == tmp_path / "copy"
