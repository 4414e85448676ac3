"""deploy/compose.yaml, for the Compose that is there."""

from pathlib import Path

import yaml

from tests.torchserve import ROOT

COMPOSE = ROOT / "deploy" / "compose.yaml"


def for_old_compose(copy: Path) -> Path:
    """Write `copy`: the file without what Compose 1.29, Debian 12's, does not know."""
    content = yaml.safe_load(COMPOSE.read_text())
    del content["name"]
    for service in content["services"].values():
        for how in service.get("depends_on", {}).values():
            how.pop("restart", None)
    copy.write_text(yaml.safe_dump(content))
    return copy
