"""scripts/render_docs.py, and that the docs lead to files that are there."""

import re
from pathlib import Path

import pytest

from scripts.render_docs import ROOT, TABLES, rendered

PAGES = [
    *(path for path in ROOT.glob("*.md")),
    *(path for path in (ROOT / "docs").glob("*.md")),
    *(ROOT / name / "README.md" for name in ("deploy", "fuzz", "model_store")),
]
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]*)(?:#([\w-]*))?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def block(name: str, content: str) -> str:
    return f"<!-- {name}: written by scripts/render_docs.py -->\n{content}<!-- end -->\n"


def test_only_what_stands_in_a_block_is_written() -> None:
    text = f"before\n{block('failures', 'old')}between\n{block('interval', '')}after\n"
    new = rendered(text)
    assert new == (
        f"before\n{block('failures', TABLES['failures']() + chr(10))}"
        f"between\n{block('interval', TABLES['interval']() + chr(10))}after\n"
    )
    assert rendered(new) == new


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        rendered(block("nothing", ""))


def test_every_table_is_in_a_page() -> None:
    pages = "".join(path.read_text() for path in PAGES)
    assert [name for name in TABLES if f"<!-- {name}: written by" not in pages] == []


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("failures", "| 400 | InvalidOption | An option is unknown, of the wrong type or out of"),
        ("serving_settings", "| `handler.max_side` | `1280` | a whole number of at least 64 | "),
        ("training_settings", "| `fit.learning_rate` | `2.0e-3` | a number above 0 | "),
        ("training_settings", "| `crop.detector.border` | `0.5` | a number of at least 0 | "),
        ("training_settings", "| `model.backbone` | `resnet18` | text that is not empty | any of"),
    ],
)
def test_rows(table: str, row: str) -> None:
    assert row in TABLES[table]()


@pytest.mark.parametrize("table", ["serving_settings", "training_settings"])
def test_every_key_has_a_meaning(table: str) -> None:
    rows = TABLES[table]().splitlines()[2:]
    assert len(rows) > 5
    assert [row for row in rows if any(not cell.strip() for cell in row.split("|")[1:-1])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for name, heading in _LINK.findall(page.read_text()):
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links to {name}"
        if heading:
            headings = _HEADING.findall(target.read_text())
            anchors = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
            assert heading in anchors, f"{page.name} links to {name}#{heading}"
