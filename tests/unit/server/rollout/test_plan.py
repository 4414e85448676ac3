"""server/rollout/plan.py: the proxy's file, as rollout.lua reads it."""

import re
import stat
import time
from pathlib import Path

import pytest

from server.errors import CommandError
from server.rollout import plan
from server.rollout.plan import Plan, PlanFile
from tests.torchserve import ROOT

PLAN = Plan("age", "2.0", share=0.125, by="key", copies=1, port=45000)


def test_the_line_is_what_nginx_looks_for() -> None:
    lua = (ROOT / "deploy" / "nginx" / "rollout.lua").read_text()
    (pattern,) = re.findall(r'^local PLAN = "(.*)"$', lua, re.MULTILINE)
    for lua_class, python_class in (("%w", r"\w"), ("%d", r"\d"), ("%a", "[a-z]")):
        pattern = pattern.replace(lua_class, python_class)
    found = re.match(pattern, PLAN.line(1800000000.4))
    assert found is not None
    assert found.groups() == ("age", "2.0", "0.1250", "key", "1.0000", "45000", "1800000000")


def test_it_is_renewed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RENEWED", 0.05)
    file = tmp_path / "rollout"
    with PlanFile(file) as plans:
        assert not file.exists()
        plans.follow(PLAN)
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        first = file.stat().st_ino
        until = time.monotonic() + 10
        while file.stat().st_ino == first:
            assert time.monotonic() < until
        ends = int(file.read_text().rpartition("=")[2])
        assert 0 < ends - time.time() <= plan.VALID + 1
        plans.follow(None)
        assert not file.exists()
        plans.follow(PLAN)
    assert not file.exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"cannot be written to .*/file/rollout .*--plan"):
        PlanFile(tmp_path / "file" / "rollout").follow(PLAN)
