"""Makes docs/dashboard.png: the queries of deploy/grafana/face-age.json, drawn from a Prometheus.

    python scripts/dashboard_picture.py --prometheus http://127.0.0.1:9090 --from 30m

It is no screenshot: Grafana draws the same values in a style of its own. Needs the extra `train`.
"""

import argparse
import io
import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from PIL import Image

from commands.prometheus import Prometheus, Series
from commands.time_types import moment
from server.errors import CommandError, exit_code_of
from train.extras import exit_if_missing

with exit_if_missing():
    import matplotlib
    from matplotlib.axes import Axes

    from commands.drift_page import dates
    from train.evaluation.report.plots import COLOURS, label, new_figure, png

ROOT: Final = Path(__file__).resolve().parent.parent
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "face-age.json"
PICTURE: Final = ROOT / "docs" / "dashboard.png"
POINTS: Final = 200  # of a line
GRID: Final = 24  # columns of Grafana's grid
WIDTH, HEIGHT = 0.5, 0.3  # inches of a cell of the grid
# Grafana's units: what the value is times, and its name in a title.
UNITS: Final = {
    "reqps": (1, "a second"),
    "ops": (1, "a second"),
    "s": (1, "seconds"),
    "µs": (1e-3, "milliseconds"),
    "percentunit": (100, "%"),
    "short": (1, ""),
}
TINTS: Final = 128  # of the PNG, which is a third of the size so


def drawn(prometheus: Prometheus, start: datetime, end: datetime) -> bytes:
    """A PNG of all panels. Raises CommandError where a panel has no data."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = new_figure(GRID * WIDTH, rows * HEIGHT)
    places = figure.add_gridspec(rows, GRID)
    with matplotlib.rc_context({"text.parse_math": False, "date.converter": "concise"}):
        for panel in panels:
            place = panel["gridPos"]
            x, y, width, height = (place[key] for key in "xywh")
            axes = figure.add_subplot(places[y : y + height, x : x + width])
            _panel(axes, panel, _series(prometheus, panel, start, end))
            if axes.axison:
                axes.set_xlim(*dates([start.timestamp(), end.timestamp()]))
        return png(figure)


def _series(
    prometheus: Prometheus, panel: Mapping[str, Any], start: datetime, end: datetime
) -> dict[str, Series]:
    step = max(1.0, (end - start).total_seconds() / POINTS)
    found = {}
    for target in panel["targets"]:
        query = target["expr"].replace("$model", ".*").replace("$__rate_interval", "1m")
        for series in prometheus.over(query, start.timestamp(), end.timestamp(), step):
            found[_legend(target["legendFormat"], series.labels)] = series
    if not found:
        raise CommandError(f"Prometheus has nothing for the panel {panel['title']} then")
    return found


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), form)


def _panel(axes: Axes, panel: Mapping[str, Any], found: Mapping[str, Series]) -> None:
    if panel["type"] == "table":
        label(axes, panel["title"], "", "")
        axes.text(0, 0.95, "\n".join(sorted(found)), va="top", fontsize=9)
        axes.set_axis_off()
        return
    factor, unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    for number, (name, series) in enumerate(sorted(found.items(), key=_in_order)):
        style = ("-", "--", ":")[number // len(COLOURS) % 3]
        colour = COLOURS[number % len(COLOURS)]
        values = [factor * value for value in series.values]
        axes.plot(dates(series.times), values, style, color=colour, lw=1.3, label=name)
    axes.set_ylim(bottom=0)
    label(axes, f"{panel['title']}, {unit}".rstrip(", "), "", "")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=7)


def _in_order(named: tuple[str, object]) -> list[tuple[int, str]]:
    """For sorting: 6-10 before 11-30."""
    return [(int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", named[0])]


def run(options: argparse.Namespace) -> int:
    picture = Image.open(
        io.BytesIO(drawn(Prometheus(options.prometheus), options.start, options.end))
    )
    picture.convert("RGB").quantize(TINTS).save(PICTURE, optimize=True)
    print(PICTURE)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Make docs/dashboard.png anew.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument(
        "--from", dest="start", type=moment, required=True, help="in ISO 8601, or 30m, 6h ago"
    )
    parser.add_argument(
        "--to", dest="end", type=moment, default=datetime.now(UTC), help="(default: now)"
    )
    options = parser.parse_args()
    return exit_code_of(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
