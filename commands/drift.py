"""Draws how far what a service is sent has drifted from its models' references: an HTML page.

    face-age drift --prometheus http://127.0.0.1:9090 --from 7d --out drift.html
    face-age drift --from 2026-01-31T00:00 --to 2026-02-07T00:00 --model age --out drift.html

The values come from a Prometheus that scrapes the service. A model needs a reference for them: see
face-age reference. Times are in UTC.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from commands.drift_page import Bins, Drifting, page
from commands.prometheus import Prometheus, Series
from commands.time_types import moment
from handler.drift import METRIC, REFERENCE_METRIC, WINDOW_METRIC
from server.errors import CommandError, exit_code_of
from server.output import exit_with, print_line
from train.atomic_write import atomic_write

POINTS: Final = 240  # of a line
MEAN: Final = 300.0  # seconds of a point at least: the workers give their values in turns
DAY: Final = timedelta(days=1)


def drifting(
    prometheus: Prometheus, start: datetime, end: datetime, model: str | None
) -> list[Drifting]:
    """What Prometheus has of each version of a model, or of all models.

    Raises CommandError if that is nothing.
    """
    step = max(1.0, (end - start).total_seconds() / POINTS)
    seconds = max(MEAN, step)
    times = (start.timestamp(), end.timestamp())
    query = _mean(METRIC, "property", seconds)
    found: dict[tuple[str, str], list[Series]] = {}
    for series in prometheus.over(query, *times, step):
        found.setdefault((series.labels["model"], series.labels["version"]), []).append(series)
    if not found:
        raise _missing(prometheus, start, end, seconds)
    names = sorted({name for name, _ in found})
    if model is not None and model not in names:
        raise CommandError(f"there is no index of {model} then, but of: {', '.join(names)}")
    return [
        Drifting(
            name,
            version,
            {each.labels["property"]: each for each in indices},
            _bins(prometheus, name, version, max(each.times[-1] for each in indices), seconds),
        )
        for (name, version), indices in sorted(found.items())
        if model in (None, name)
    ]


def _mean(metric: str, labels: str, seconds: float) -> str:
    return f"avg by (model, version, {labels}) (avg_over_time({metric}[{seconds:.0f}s]))"


def _bins(
    prometheus: Prometheus, model: str, version: str, time: float, seconds: float
) -> dict[str, Bins]:
    """The bins of each property at a time; none of those that have too many for metrics."""
    parts: dict[str, dict[str, list[float]]] = {}
    for metric in (REFERENCE_METRIC, WINDOW_METRIC):
        for series in prometheus.at(_mean(metric, "property, bin", seconds), time):
            labels = series.labels
            if (labels["model"], labels["version"]) == (model, version):
                bins = parts.setdefault(labels["property"], {})
                bins.setdefault(labels["bin"], []).append(series.values[0])
    return {
        name: {label: (pair[0], pair[1]) for label, pair in bins.items() if len(pair) == 2}
        for name, bins in parts.items()
    }


def _missing(
    prometheus: Prometheus, start: datetime, end: datetime, seconds: float
) -> CommandError:
    between = f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    span = (end - start).total_seconds() + seconds
    query = f"count_over_time(face_age_model_info[{span:.0f}s])"
    if prometheus.at(query, end.timestamp()):
        return CommandError(
            f"Prometheus has no {METRIC} {between}: its models need a reference (face-age "
            "reference), and each worker 100 images"
        )
    return CommandError(
        f"Prometheus has nothing of this service {between}: give other times by --from and --to, "
        "or let it scrape port 8082 (docs/metrics.md)"
    )


def run(options: argparse.Namespace) -> int:
    end = options.end or datetime.now(UTC)
    start = options.start or end - DAY
    if start >= end:
        raise CommandError("--from is not before --to")
    found = drifting(Prometheus(options.prometheus), start, end, options.model)
    with atomic_write(options.out) as partial:
        partial.write_text(page(found, start, end), encoding="utf-8")
    print_line(f"{options.out}: {', '.join(each.title for each in found)}")
    return 0


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text} does not begin with http:// or https://")
    return text


def _arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    what, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=what, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--prometheus",
        type=_url,
        default="http://127.0.0.1:9090",
        metavar="URL",
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=moment,
        metavar="TIME",
        help="in ISO 8601, or 30m, 6h, 7d, 2w ago (default: a day before --to)",
    )
    parser.add_argument(
        "--to", dest="end", type=moment, metavar="TIME", help="likewise (default: now)"
    )
    parser.add_argument("--model", help="its name in TorchServe (default: every model)")
    parser.add_argument(
        "--out", type=Path, default=Path("drift.html"), help="(default: %(default)s)"
    )
    return parser.parse_args(words)


def main() -> int:
    """Write the page; returns 1 after an error of one line."""
    options = _arguments()
    return exit_code_of(lambda: run(options))


if __name__ == "__main__":
    exit_with(main())
