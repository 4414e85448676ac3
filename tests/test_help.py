"""Every command's --help, where nothing is installed but what serving needs.

A process that has hidden the extras' packages, and has torch, forks for each command: to import
torch for each would take minutes.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from train.extras import EXTRAS, install_command

ROOT = Path(__file__).resolve().parent.parent
# What serving brings too, by way of timm and of TorchServe: hidden in a turn of its own.
SERVING_BRINGS = {"tqdm", "psutil"}
HELP_OF = """
import json, os, runpy, sys, tempfile, traceback
commands, hidden = json.loads(sys.argv[1])
sys.path.pop(0)
sys.modules.update(dict.fromkeys(hidden))
import torch

def run(command):
    if command.endswith(".py"):
        sys.argv = [command, "--help"]
        sys.path.insert(0, os.path.dirname(command))
        runpy.run_path(command, run_name="__main__")
    else:
        sys.argv = ["-m", "--help"]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(command, run_name="__main__", alter_sys=True)

def child(command):
    try:
        run(command)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return int(bool(end.code))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0

results = {}
for command in commands:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if not pid:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = child(command)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        results[command] = code, out.read().decode(), err.read().decode()
print(json.dumps(results))
"""

# The extra that a command cannot do without; None: its --help needs none.
NEEDS = {
    **dict.fromkeys(
        f"scripts/{name}.py"
        for name in (
            *("archive", "audit", "canned", "check_archive", "demo_picture", "image_layers"),
            *("predict", "ready"),
            "sbom",
        )
    ),
    **dict.fromkeys(("scripts/render_docs.py", "scripts/dashboard_picture.py"), "train"),
    "deploy/keys.py": None,
    **dict.fromkeys(
        f"bench.{name}"
        for name in (
            *("attributes", "batch", "compare", "decoding_memory", "generator_capacity"),
            *(
                "explanations",
                "gpu_check",
                "gpu_parts",
                "parity",
                "profiling",
                "robustness",
                "rotation",
                "soak",
                "turns",
            ),
        )
    ),
    **dict.fromkeys(
        (
            f"bench.{name}"
            for name in ("answers", "evaluate_service", "fairness", "memory", "scaling")
        ),
        "client",
    ),
    **dict.fromkeys(
        f"server.{name}"
        for name in (
            *(
                "archive",
                "check_archive",
                "ensure_archives",
                "exec_java",
                "readiness",
                "supervisor",
            ),
        )
    ),
    "commands.batch": None,
    "commands.demo": "client",
    "commands.drift": "train",
    "commands.capacity": None,
    "commands.main": None,
    "commands.predict": "client",
    **dict.fromkeys(
        (
            f"train.{name}"
            for name in (
                *("contact_sheet", "duplicates", "evaluate", "export", "fit", "prepare"),
                *("baselines", "same_person", "variants"),
            )
        ),
        "train",
    ),
    **dict.fromkeys(
        f"train.{name}" for name in ("faceres", "imagenet", "reference", "torchscript")
    ),
}
PACKAGES_OF_COMMANDS = ("bench", "commands", "server", "train")


def helps(commands: list[str], hidden: set[str]) -> dict[str, tuple[int, str, str]]:
    """Exit code, output and errors of each command's --help."""
    words = json.dumps([commands, sorted(hidden)])
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF, words], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str, str]] = json.loads(done.stdout)
    return found


PACKAGES = {package for packages in EXTRAS.values() for package in packages}


@pytest.fixture(scope="module")
def without_extras() -> dict[str, tuple[int, str, str]]:
    return helps(sorted(NEEDS), PACKAGES - SERVING_BRINGS)


def test_every_command_is_here():
    files = [path for folder in ("deploy", "scripts") for path in ROOT.glob(f"{folder}/*.py")]
    commands = {str(path.relative_to(ROOT)) for path in files if "__main__" in path.read_text()} | {
        f"{package}.{path.stem}"
        for package in PACKAGES_OF_COMMANDS
        for path in ROOT.glob(f"{package}/*.py")
        if "__main__" in path.read_text()
    }
    assert commands == set(NEEDS)


@pytest.mark.parametrize("command", sorted(NEEDS))
def test_help_without_extras(without_extras, command):
    code, output, errors = without_extras[command]
    extra = NEEDS[command]
    if extra is None:
        assert (code, errors) == (0, "")
        usage = f"usage: python -m {command} " if command.startswith("train.") else "usage: "
        assert output.startswith(usage)
    else:
        assert (code, output) == (1, "")
        assert re.fullmatch(
            rf"error: (\w+) is not installed: {re.escape(install_command(extra))}\n", errors
        )


def test_help_without_the_extra_that_one_variant_needs():
    ((code, output, errors),) = helps(["train.variants"], {"torch_pruning"}).values()
    assert (code, errors) == (0, "")
    assert "\nvariants:\n" in output  # Hydra prints the configuration


@pytest.mark.parametrize(
    ("package", "extra", "commands"),
    [
        (
            "tqdm",
            "client",
            (
                "commands.predict",
                *(f"bench.{name}" for name in ("evaluate_service", "parity", "scaling")),
                "bench.robustness",
            ),
        ),
        (
            "psutil",
            "load",
            tuple(f"bench.{name}" for name in ("compare", "generator_capacity", "memory")),
        ),
        ("psutil", "load", ("bench.soak",)),
    ],
)
def test_help_without_what_serving_brings_too(package, extra, commands):
    for results in helps([*commands], {package}).values():
        line = f"error: {package} is not installed: {install_command(extra)}\n"
        assert results == [1, "", line]


@pytest.mark.parametrize("script", ["canned", "sbom"])
def test_what_a_script_lacks_is_reported_when_it_runs(script, tmp_path):
    hide = "import runpy, sys; sys.modules.update(dict.fromkeys(('skimage', 'cyclonedx'))); "
    run = f"runpy.run_path({str(ROOT / 'scripts' / script)!r} + '.py', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", hide + run], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    command = re.escape(install_command("dev")).encode()
    assert re.fullmatch(rb"error: \S+ is not installed: %b\n" % command, done.stderr)
