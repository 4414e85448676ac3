"""Writes the software bill of materials of a serving environment, in CycloneDX 1.6.

    python scripts/sbom.py --environment .venv/bin/python --output sbom.cdx.json

It lists Python packages, Debian packages, TorchServe's jar, and the libraries in the jar that state
a version. The jar has no manifest of its libraries, so this list is marked as incomplete. Needs
cyclonedx-bom (`pip install -e ./client -e '.[dev]'`, in any environment) and nothing of this
project: the Dockerfile copies this file alone.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess  # nosec B404
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Component = dict[str, Any]

SCHEMA = "1.6"
JAR = "ts/frontend/model-server.jar"  # below site-packages
_NETTY = re.compile(rb"^netty-codec-http\.version=(\S+)", re.MULTILINE)
_MAVEN = re.compile(r"\) ([\w.-]+):([\w.-]+):jar:([\w.-]+)")
# io.grpc.internal.GrpcUtil's constant: a length of two bytes, then the text.
_GRPC = re.compile(rb"\x01\x00.(1\.\d+\.\d+)", re.DOTALL)


class BillError(Exception):
    """The bill cannot be made; the message is one line for the operator."""


def bill(python: Path) -> dict[str, Any]:
    """The bill of `python`'s environment and of the system."""
    try:  # here, so that --help works without it
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ModuleNotFoundError as error:
        words = "cyclonedx-bom is not installed: pip install -e ./client -e '.[dev]'"
        raise BillError(words) from error
    content = python_packages(python)
    components: list[Component] = content["components"]
    components += debian_packages()
    for folder in site_packages(python):
        if (folder / JAR).is_file():
            jar = java_archive(folder / JAR)
            components.append(jar)
            content.setdefault("compositions", []).append(
                {"aggregate": "incomplete", "assemblies": [jar["bom-ref"]]}
            )
    faults = JsonStrictValidator(SchemaVersion.from_version(SCHEMA)).validate_str(
        json.dumps(content)
    )
    if faults:
        raise BillError(f"the bill is no CycloneDX {SCHEMA}: {faults}")
    return content


def python_packages(python: Path) -> dict[str, Any]:
    """A bill of the environment's distributions, from cyclonedx-py."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", str(python)]
    command += ["--spec-version", SCHEMA, "--output-reproducible", "--output-format", "JSON"]
    done = subprocess.run(  # nosec B603  # no shell, no user input
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BillError(f"cyclonedx-py: {done.stderr.strip()}")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def debian_packages() -> list[Component]:
    """Packages installed by dpkg; empty on a system without it."""
    dpkg = shutil.which("dpkg-query")
    if dpkg is None:
        return []
    command = [
        dpkg,
        "--show",
        "--showformat",
        "${db:Status-Status} ${Package} ${Version} ${Architecture}\n",
    ]
    done = subprocess.run(  # nosec B603  # no shell, no user input
        command, capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in done.stdout.splitlines())
    return [
        _library(name, version, f"pkg:deb/debian/{name}@{_quoted(version)}?arch={architecture}")
        for status, name, version, architecture in rows
        if status == "installed"
    ]


def site_packages(python: Path) -> list[Path]:
    """The environment's site-packages folders."""
    command = [str(python), "-c", "import json, sys; print(json.dumps(sys.path))"]
    done = subprocess.run(  # nosec B603  # no shell, no user input
        command, capture_output=True, text=True, check=True
    )
    return [Path(folder) for folder in json.loads(done.stdout) if folder.endswith("-packages")]


def java_archive(file: Path) -> Component:
    """TorchServe's jar with its SHA-256, and the libraries in it of known version."""
    with zipfile.ZipFile(file) as jar:
        libraries = list(_java_libraries(jar))
    return {
        "type": "application",
        "bom-ref": f"jar:{file.name}",
        "name": file.name,
        "description": "TorchServe's server in Java; a part of the Python package torchserve",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
        "components": libraries,
    }


def _java_libraries(jar: zipfile.ZipFile) -> Iterator[Component]:
    if netty := _NETTY.search(jar.read("META-INF/io.netty.versions.properties")):
        yield _maven("io.netty", "netty-codec-http", netty[1].decode())
    if grpc := _GRPC.search(jar.read("io/grpc/internal/GrpcUtil.class")):
        yield _maven("io.grpc", "grpc-core", grpc[1].decode())
    for group, name, version in _MAVEN.findall(jar.read("META-INF/DEPENDENCIES").decode()):
        yield _maven(group, name, version)


def _maven(group: str, name: str, version: str) -> Component:
    return {**_library(name, version, f"pkg:maven/{group}/{name}@{version}"), "group": group}


def _library(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _quoted(version: str) -> str:
    return version.replace(":", "%3A").replace("+", "%2B").replace("~", "%7E")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write a bill of materials in CycloneDX.")
    parser.add_argument(
        "--environment", type=Path, default=Path(sys.executable), help="the Python that serves"
    )
    parser.add_argument("--output", type=Path, default=Path("sbom.cdx.json"))
    arguments = parser.parse_args()
    try:
        content = bill(arguments.environment)
    except BillError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{arguments.output}: {len(content['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
