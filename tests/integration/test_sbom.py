"""scripts/sbom.py, of the environment that the tests run in; of the image's in tests/service."""

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import sbom
from scripts.audit import ROOT


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, sbom.Component]:
    """The components by their names."""
    file = tmp_path_factory.mktemp("bill") / "sbom.cdx.json"
    command = [sys.executable, ROOT / "scripts" / "sbom.py", "--output", file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    content = json.loads(file.read_text())
    assert done.stdout == f"{file}: {len(content['components'])} components\n"
    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.6")
    return {component["name"].lower(): component for component in content["components"]}


@pytest.mark.parametrize(
    "name", ["torch", "torchvision", "torchserve", "pillow", "facenet-pytorch", "timm", "numpy"]
)
def test_pinned_versions(bill: dict[str, sbom.Component], name: str) -> None:
    pins = dict(
        line.lower().split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert bill[name]["version"] == pins[name] == importlib.metadata.version(name)
    assert bill[name]["purl"] == f"pkg:pypi/{name}@{pins[name]}"


def test_java_s_part(bill: dict[str, sbom.Component]) -> None:
    """The versions that are too old, and the file that they are in."""
    archive = bill["model-server.jar"]
    (folder,) = importlib.util.find_spec("ts").submodule_search_locations
    file = Path(folder) / "frontend" / "model-server.jar"
    assert archive["hashes"] == [
        {"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}
    ]
    versions = {part["name"]: part["version"] for part in archive["components"]}
    assert versions["netty-codec-http"] == "4.1.53.Final"
    assert versions["grpc-core"] == "1.50.0"
    assert versions["log4j-core"] == "2.17.1"


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no Debian")
def test_debian_packages(bill: dict[str, sbom.Component]) -> None:
    query = ["dpkg-query", "--show", "--showformat", "${Version}", "libc6"]
    version = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    assert bill["libc6"]["version"] == version
    assert bill["libc6"]["purl"].startswith("pkg:deb/debian/libc6@")
