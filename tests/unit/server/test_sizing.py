"""tests/service asks a real TorchServe what it took."""

import json
import os
from pathlib import Path

import pytest

from server import sizing as module
from server.sizing import Sizing, batch_size, gpu_memory, sized, sizing, with_workers

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "config.properties"
read_properties = module.read_properties


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.properties"
    file.write_text("metrics_mode=prometheus")  # and no end of the line
    return file


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 cores, no GPU, nothing in the environment."""
    monkeypatch.setattr(module, "cores", lambda: 16)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    for name in [*os.environ]:
        if name.startswith(("TS_", "CUDA_")):
            monkeypatch.delenv(name)


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """Have an nvidia-smi that runs `lines`."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"))


def gpus(folder: Path, monkeypatch: pytest.MonkeyPatch, *memory: object) -> None:
    asked = "--query-gpu=memory.total --format=csv,noheader,nounits"
    lines = "\n".join(f"echo '{each}'" for each in memory)
    nvidia_smi(folder, monkeypatch, f'[ "$*" = "{asked}" ] || exit 2\n{lines}')


class TestGpuMemory:
    def test_without_nvidia_smi_there_is_none(self) -> None:
        assert gpu_memory() == []

    def test_of_each_that_is_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gpus(tmp_path, monkeypatch, 81559, 24576)
        assert gpu_memory() == [81559, 24576]

    @pytest.mark.parametrize("lines", ["exit 9", "echo 'No devices were found'", ":"])
    def test_a_driver_without_a_gpu(
        self, lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nvidia_smi(tmp_path, monkeypatch, lines)
        assert gpu_memory() == []

    def test_memory_that_the_driver_does_not_tell(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gpus(tmp_path, monkeypatch, "[N/A]")
        assert gpu_memory() == [0]

    @pytest.mark.parametrize(
        ("visible", "found"),
        [("1", [2]), ("2,0", [3, 1]), ("", [1, 2, 3]), ("0, 1", [1, 2]), ("7", [0])],
    )
    def test_visible_ones(
        self, visible: str, found: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gpus(tmp_path, monkeypatch, 1, 2, 3)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpu_memory() == found

    def test_number_of_gpu(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gpus(tmp_path, monkeypatch, 1, 2, 3)
        monkeypatch.setenv("TS_NUMBER_OF_GPU", "2")
        assert gpu_memory() == [1, 2]


class TestSizing:
    def test_on_a_cpu_few_wait_for_each_other(self) -> None:
        assert sizing(1) == sizing(3) == Sizing(batch_size=2, queue=64, workers=None)
        assert batch_size() == 2

    @pytest.mark.parametrize(
        ("memory", "cores", "models", "workers", "queue"),
        [
            ([81559], 16, 1, 4, 256),
            ([81559], 64, 1, 4, 256),
            ([81559], 8, 1, 2, 128),
            ([81559], 2, 1, 1, 64),
            ([8192], 16, 1, 2, 128),  # each worker has a copy of the model
            ([0], 16, 1, 1, 64),
            ([81559, 81559], 16, 1, 4, 256),  # two on each
            ([81559, 8192], 32, 1, 4, 256),
            ([81559], 16, 2, 2, 128),
            ([81559], 16, 9, 1, 64),
        ],
    )
    def test_on_gpus(
        self,
        memory: list[int],
        cores: int,
        models: int,
        workers: int,
        queue: int,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        gpus(tmp_path, monkeypatch, *memory)
        monkeypatch.setattr(module, "cores", lambda: cores)
        assert sizing(models) == Sizing(batch_size=32, queue=queue, workers=workers)
        assert batch_size() == 32


class TestSized:
    def test_names_every_version_of_every_model(self, config: Path, tmp_path: Path) -> None:
        models = [("age", "1.0"), ("age", "2.0"), ("other", "7")]
        read = read_properties(sized(config, models, tmp_path / "copy"))
        assert json.loads(read.pop("models")) == {
            "age": {"1.0": {"batchSize": 2}, "2.0": {"batchSize": 2}},
            "other": {"7": {"batchSize": 2}},
        }
        assert read == {"metrics_mode": "prometheus", "job_queue_size": "64"}

    def test_lines_of_ones_own_are_kept(self, config: Path, tmp_path: Path) -> None:
        own = {
            "models": '{"age": {"1.0": {"batchSize": 3}}}',
            "job_queue_size": "7",
            "default_workers_per_model": "3",
        }
        config.write_text("".join(f"{key}={value}\n" for key, value in own.items()))
        assert read_properties(sized(config, [("age", "1.0")], tmp_path / "copy")) == own

    def test_workers_on_gpus(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gpus(tmp_path, monkeypatch, 81559)
        read = read_properties(sized(config, [("age", "1.0")], tmp_path / "copy"))
        assert json.loads(read["models"]) == {"age": {"1.0": {"batchSize": 32}}}
        assert (read["job_queue_size"], read["default_workers_per_model"]) == ("256", "4")

    def test_the_shipped_configuration_leaves_it_to_the_machine(self, tmp_path: Path) -> None:
        read = read_properties(sized(SHIPPED, [("age", "1.0")], tmp_path / "copy"))
        added = {"models": '{"age": {"1.0": {"batchSize": 2}}}', "job_queue_size": "64"}
        assert read == read_properties(SHIPPED) | added


class TestHeap:
    """Of 20 MB: 64 wait and 32 are computed on 16 cores, which take 2.1 GB."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        file = tmp_path / "config.properties"
        file.write_text("max_request_size=20971520\nvmargs=-Xms64m -Xmx2g -XX:+UseSerialGC\n")
        return file

    def heap(self, config: Path, tmp_path: Path, models: int = 1) -> str:
        named = [(f"model-{i}", "1.0") for i in range(models)]
        return read_properties(sized(config, named, tmp_path / "copy"))["vmargs"]

    @pytest.mark.parametrize(
        ("cores", "models", "heap"), [(2, 1, "2g"), (16, 1, "3g"), (2, 3, "5g")]
    )
    def test_room_for_what_may_wait(
        self,
        config: Path,
        cores: int,
        models: int,
        heap: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "cores", lambda: cores)
        assert self.heap(config, tmp_path, models) == f"-Xms64m -Xmx{heap} -XX:+UseSerialGC"

    def test_on_a_gpu(self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gpus(tmp_path, monkeypatch, 81559)  # 256 wait, 128 are computed: 7.75 GB
        assert "-Xmx8g" in self.heap(config, tmp_path)

    def test_what_the_environment_says(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TS_JOB_QUEUE_SIZE", "200")
        monkeypatch.setenv("TS_DEFAULT_WORKERS_PER_MODEL", "1")
        monkeypatch.setenv("TS_MAX_REQUEST_SIZE", str(100 << 20))
        assert "-Xmx20g" in self.heap(config, tmp_path)

    def test_that_of_a_queue_of_ones_own_is_kept(self, config: Path, tmp_path: Path) -> None:
        config.write_text(config.read_text() + "job_queue_size=500\n")
        assert "-Xmx2g" in self.heap(config, tmp_path)

    @pytest.mark.parametrize("enough", ["-Xmx3g", "-Xmx3072M", "-Xmx3221225472", "-Xss1m"])
    def test_enough_is_left_as_it_is(self, enough: str, config: Path, tmp_path: Path) -> None:
        config.write_text(f"max_request_size=20971520\nvmargs={enough}\n")
        assert self.heap(config, tmp_path) == enough
        assert (tmp_path / "copy").read_text().count("vmargs") == 1


class TestWithWorkers:
    def test_none_on_a_cpu(self, config: Path, tmp_path: Path) -> None:
        copy = sized(config, [("age", "1.0")], tmp_path / "copy")
        assert with_workers({"A": "b"}, copy) == {"A": "b"}

    def test_the_machines(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gpus(tmp_path, monkeypatch, 81559)
        copy = sized(config, [("age", "1.0")], tmp_path / "copy")
        assert with_workers({}, copy) == {"TS_DEFAULT_WORKERS_PER_MODEL": "4"}

    def test_the_environments(self, config: Path) -> None:
        config.write_text("default_workers_per_model=3\n")
        assert with_workers({}, config) == {"TS_DEFAULT_WORKERS_PER_MODEL": "3"}
        given = {"TS_DEFAULT_WORKERS_PER_MODEL": "5"}
        assert with_workers(given, config) == given
