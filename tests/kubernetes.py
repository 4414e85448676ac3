"""deploy/kubernetes as kubectl renders it."""

import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from tests.torchserve import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"


@cache
def rendered(folder: str) -> list[dict[str, Any]]:
    """The objects of a folder with a kustomization; skips where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def only(objects: list[dict[str, Any]], kind: str, name: str = "face-age") -> dict[str, Any]:
    """The one object of a kind and a name."""
    (found,) = (o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)
    return found
