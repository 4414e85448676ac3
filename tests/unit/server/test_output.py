"""server/output.py: what TorchServe prints, and the line that says why it failed."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from server import readiness
from server.output import OutputReader

WORKER = "2026-01-01T00:00:00,000 [INFO ] W-9000-age_1.0-stdout MODEL_LOG - "
DIED = "2026-01-01T00:00:00,000 [INFO ] W-9000-age_1.0 o.p.s.w.WorkerThread - Retry worker: 9000 in"


def console(*lines: str) -> OutputReader:
    read = OutputReader(io.BytesIO("\n".join(lines).encode()), echo=False)
    read.close()
    return read


class TestOutputReader:
    def test_nothing_is_wrong_while_nothing_is(self) -> None:
        read = console(WORKER + "model_name: age, batchSize: 8", WORKER + "Torch worker started.")
        assert not read.worker_died

    def test_gives_the_exception_that_ended_the_worker(self) -> None:
        read = console(
            WORKER + "Backend worker process died.",
            WORKER + "Traceback (most recent call last):",
            WORKER + '  File "age_handler.py", line 40, in initialize',
            WORKER + "handler.contract.ContractError: the contract has schema 7",
            DIED + " 1 seconds.",
        )
        assert read.worker_died
        assert read.reason() == "handler.contract.ContractError: the contract has schema 7"

    def test_skips_what_torchserve_adds_to_the_cause(self) -> None:
        read = console(
            WORKER + "Traceback (most recent call last):",
            WORKER + "    import facenet_pytorch",
            WORKER + "ModuleNotFoundError: No module named 'facenet_pytorch'",
            WORKER,
            WORKER + "During handling of the above exception, another exception occurred:",
            WORKER,
            WORKER + "Traceback (most recent call last):",
            WORKER + "    module = importlib.import_module(module_name)",
            WORKER + "ModuleNotFoundError: No module named 'ts.torch_handler.age_handler'",
            WORKER + "Traceback (most recent call last):",
            WORKER + '    raise RuntimeError("{} - {}".format(code, result))',
            WORKER + "RuntimeError: 500 - Unknown exception",
        )
        assert read.reason() == "ModuleNotFoundError: No module named 'facenet_pytorch'"

    def test_gives_javas_error_where_no_worker_raised(self) -> None:
        read = console(
            "2026-01-01T00:00:00,000 [ERROR] main org.pytorch.serve.ModelServer - Cannot bind",
            "java.io.IOException: Failed to bind",
            "\tat org.pytorch.serve.ModelServer.initializeServer(ModelServer.java:395)",
        )
        assert read.reason() == "Cannot bind"

    def test_gives_the_last_line_where_nothing_else_is_known(self) -> None:
        assert console("Unrecognized VM option", "Could not create Java.", "").reason() == (
            "Could not create Java."
        )

    def test_an_archive_that_cannot_be_loaded_counts_as_a_death(self) -> None:
        assert console("[WARN ] main o.p.s.ModelServer - Failed to load model: x.mar").worker_died

    def test_tells_that_memory_ran_out(self) -> None:
        reader = console(
            WORKER + "Terminating due to java.lang.OutOfMemoryError: a worker's words",
            "Terminating due to java.lang.OutOfMemoryError: Java heap space",
        )
        assert reader.out_of_memory() == "java.lang.OutOfMemoryError: Java heap space"
        assert console(WORKER + "java.lang.OutOfMemoryError").out_of_memory() is None

    def test_echoes(self, capsys: pytest.CaptureFixture[str]) -> None:
        OutputReader(io.BytesIO(b"one\n\xff two\n"), echo=True).close()
        assert capsys.readouterr().out == "one\n� two\n"


def test_a_full_disk_is_no_reason_to_end() -> None:
    code = "from server import output; output.print_line('x'); output.exit_with(0)"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=readiness.ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
