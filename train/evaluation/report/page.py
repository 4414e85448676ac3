"""A self-contained HTML page: images embedded, nothing fetched, every text escaped."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from train.evaluation.metrics import FEW
from train.evaluation.tables import Table

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fbfbfb; --line: #8888; --faint: #8882 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181c } }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.5rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif }
h1, h2 { line-height: 1.2 }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem }
p, figcaption, nav { max-width: 48rem }
nav ol { columns: 15rem }
a { color: inherit }
.wide { overflow-x: auto; margin: 1rem 0 1.75rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid var(--line) }
thead th, tbody tr:hover { background: var(--faint) }
tbody th { font-weight: 600 }
figure { margin: 1rem 0 }
figure > img { max-width: 100%; height: auto; border-radius: .5rem; background: #fff }
figcaption { font-size: .85rem }
.faces { display: flex; flex-wrap: wrap; gap: .75rem; padding: 0; list-style: none }
.faces figure { width: 8.5rem; margin: 0 }
.faces figcaption { overflow-wrap: anywhere; font-size: .75rem; line-height: 1.35 }
"""
# The browser enforces that the page fetches and runs nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading and an entry in the table of contents."""

    title: str
    parts: Sequence[str]  # HTML, from the functions below


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def listing(lines: Sequence[str]) -> str:
    """A bulleted list of plain texts."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def table(content: Table) -> str:
    """A table that scrolls on narrow screens; the first cell of a row is its heading."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in content.head)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in content.rows
    )
    shown = f"<thead><tr>{head}</tr></thead>" if any(content.head) else ""
    return f'<div class="wide"><table>{shown}<tbody>\n{rows}\n</tbody></table></div>'


def image(png: bytes, alt: str, caption: str) -> str:
    """A PNG with a caption; `alt` is its text for screen readers."""
    encoded = base64.b64encode(png).decode()
    return (
        f'<figure><img src="data:image/png;base64,{encoded}" alt="{escape(alt)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def plotted(title: str, png: bytes, caption: str) -> Section:
    """A section that is a plot."""
    return Section(title, [image(png, title, caption)])


def whiskers(items: str) -> str:
    """The caption's sentence on bootstrap intervals."""
    return f"Lines are 95 % bootstrap intervals; a hollow dot means fewer than {FEW} {items}."


def gallery(images: Sequence[str]) -> str:
    """A grid of small images."""
    items = "\n".join(f"<li>{each}</li>" for each in images)
    return f'<ul class="faces">\n{items}\n</ul>'


def document(title: str, sections: Sequence[Section]) -> str:
    """The whole page, with a table of contents."""
    contents = "\n".join(
        f'<li><a href="#part-{i}">{escape(section.title)}</a></li>'
        for i, section in enumerate(sections, start=1)
    )
    body = "\n".join(
        f'<section id="part-{i}">\n<h2>{escape(section.title)}</h2>\n'
        + "\n".join(section.parts)
        + "\n</section>"
        for i, section in enumerate(sections, start=1)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<nav aria-label="Contents"><ol>
{contents}
</ol></nav>
<main>
{body}
</main>
</body>
</html>
"""
