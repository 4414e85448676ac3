"""server/service_config.py: the checks before TorchServe starts."""

import dataclasses
import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from handler.integrity import HASHES
from server import processes, readiness
from server.errors import CommandError
from server.service_config import ServiceConfig
from tests.archives import rewritten
from tests.torchserve import private_addresses


@pytest.fixture
def service(model_store: Path, tmp_path: Path) -> ServiceConfig:
    shutil.copy(model_store / "age.mar", tmp_path)
    config = readiness.ROOT / "config.properties"
    return ServiceConfig(config, tmp_path, ["age=age.mar"], tmp_path / "state", echo=False)


class TestCheck:
    def test_java_is_missing(self, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(service.state))
        monkeypatch.delenv("JAVA_HOME", raising=False)
        with pytest.raises(CommandError, match=r"^no java in PATH: install Java 17 or newer"):
            service.check()

    def test_java_home_is_wrong(
        self, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JAVA_HOME", "/nowhere")
        with pytest.raises(CommandError, match=r"^no java in JAVA_HOME=/nowhere: "):
            service.check()

    def test_the_archive_is_missing(self, service: ServiceConfig) -> None:
        (service.model_store / "age.mar").unlink()
        with pytest.raises(
            CommandError, match=r"age\.mar is missing: make it with scripts/archive"
        ):
            service.check()

    def test_the_archive_is_damaged(self, service: ServiceConfig) -> None:
        (service.model_store / "age.mar").write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(CommandError, match=r"age\.mar is damaged: make it anew"):
            service.check()

    def test_the_one_that_is_damaged_is_named(self, service: ServiceConfig) -> None:
        other = Path(shutil.copy(service.model_store / "age.mar", service.model_store / "2.mar"))
        rewritten(other, {"handler/spy.py": b""})
        several = dataclasses.replace(service, models=["age=age.mar", "age=2.mar"])
        with pytest.raises(CommandError) as refused:
            several.check()
        assert str(refused.value) == (
            f"{other} is damaged: make it anew with scripts/archive.py "
            "('handler/spy.py' is not in its hashes.json)"
        )

    def test_somebody_elses_archive_is_served_where_that_is_asked_for(
        self, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key, value in private_addresses().items():
            monkeypatch.setenv(key, value)
        rewritten(service.model_store / "age.mar", {HASHES: None})
        with pytest.raises(CommandError, match=r"it has no hashes\.json"):
            service.check()
        dataclasses.replace(service, foreign=True).check()

    @pytest.mark.parametrize("is_variable", [False, True])
    def test_a_missing_file_of_metrics(
        self,
        service: ServiceConfig,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        is_variable: bool,
    ) -> None:
        config = tmp_path / "my.properties"
        config.write_text("metrics_config=away.yaml\n" if not is_variable else "")
        if is_variable:
            monkeypatch.setenv("TS_METRICS_CONFIG", "away.yaml")
        with pytest.raises(CommandError) as refused:
            dataclasses.replace(service, config=config).check()
        assert str(refused.value) == (
            f"metrics_config=away.yaml: there is no such file; correct the line in {config}, or "
            "leave it out"
        )

    def test_a_configuration_from_the_environment_is_refused(
        self, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TS_CONFIG_FILE", "/tmp/other.properties")
        with pytest.raises(CommandError) as refused:
            service.check()
        assert str(refused.value) == (
            "TS_CONFIG_FILE is set in the environment: unset it; give another configuration by "
            "python -m server.supervisor --config FILE"
        )


class TestStart:
    def test_no_room_to_unpack(
        self, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(processes, "TEMPORARY", tmp_path)
        usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
        with pytest.raises(CommandError) as refused:
            service.start(service.read_models(), "mark")
        assert re.fullmatch(
            rf"{tmp_path} has 1 MB left, and TorchServe needs \d\d MB there for what it unpacks: "
            "make room",
            str(refused.value),
        )
        assert not [*tmp_path.glob("age-*")]

    def test_a_full_disk(self, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_mark: str) -> Path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("server.service_config.make_run_folder", full)
        with pytest.raises(CommandError) as refused:
            service.start(service.read_models(), "mark")
        assert str(refused.value) == ("TorchServe cannot be started: /tmp: No space left on device")

    def test_a_folder_that_cannot_be_made(
        self, service: ServiceConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(processes, "TEMPORARY", tmp_path / "none")
        with pytest.raises(CommandError) as refused:
            service.start(service.read_models(), "mark")
        assert str(refused.value).startswith(f"TorchServe cannot be started: {tmp_path}/none/age-")
        assert str(refused.value).endswith(": No such file or directory")
