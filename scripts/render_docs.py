"""Writes the tables of README.md and docs/ that come from files and from code, and openapi.json.

    python scripts/render_docs.py            writes them
    python scripts/render_docs.py --check    exit 1 if one is not up to date

A table stands between `<!-- NAME: written by scripts/render_docs.py -->` and `<!-- end -->`.
"""

import argparse
import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from commands import capacity as planning
from handler import errors, settings
from server.openapi import document
from train.evaluation.metrics import ALL, Measured
from train.evaluation.results import Results
from train.evaluation.tables import Table
from train.extras import exit_if_missing

with exit_if_missing():
    from train.configuration.checks import requirement

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "model_store"
API = ROOT / "deploy" / "nginx" / "openapi.json"
CONFIG = ROOT / "train" / "config"
NAMES = {"utkface": "UTKFace", "appa_real": "APPA-REAL"}
VALIDATED = {  # parts of these that trained nothing, but chose the epoch
    "euro_parliament": "portraits of the European Parliament",
    "uk_parliament": "portraits of the UK's parliament",
    "lok_sabha_2014": "portraits of India's parliament",
}
GENDERS = {"0": "male", "1": "female"}  # UTKFace's codes
OVER_REST = {  # files of bench.evaluate_service
    "test": "over REST, as they are",
    "canvas": "over REST, each on a grey square of 480 px",
}
_CATEGORIES = {
    "accuracy": "accuracy, %",
    "macro_f1": "macro F1, %",
    "top5": "top 5, %",
    "mae": "MAE of label, years",
    "mae_median": "of median",
    "coverage": "prediction set holds, %",
}
_BLOCK = re.compile(
    r"(?P<begin><!-- (?P<name>\w+): written by scripts/render_docs\.py -->\n)"
    r".*?(?P<end><!-- end -->)",
    re.DOTALL,
)
RATES = (10, 1000, 100_000)  # images a second
# The service's rows in the comparison with other servers.
_SPEED = re.compile(
    r"^\| (?P<mix>[^|]+) \| \*\*face-age\*\* \| (?P<images>[\d.]+) \|.* (?P<memory>[\d.]+) GB \|",
    re.MULTILINE,
)
_KEY = re.compile(r"(?P<indent> *)(?P<key>\w+): *(?P<value>[^#]*?) *(?:# (?P<meaning>.*))?")


def rendered(text: str) -> str:
    """`text` with current tables. Raises KeyError for an unknown table's name."""
    return _BLOCK.sub(
        lambda block: f"{block['begin']}{TABLES[block['name']]()}\n<!-- end -->", text
    )


def accuracy() -> str:
    """Errors of the exported model and of the service on test faces."""
    results = _results()
    rows = [
        (f"{NAMES[name]}, test part", "cropped faces", *_figures(figures))
        for name, figures in results.sources.items()
    ]
    parts = {name: f"{NAMES[name]}, test part" for name in results.sources}
    parts |= {name: f"{words}, validation part" for name, words in VALIDATED.items()}
    for name, part in parts.items():
        content = _over_rest(name)
        figures = _measured(content["figures"])
        lost = content["answered"] - content["found"]
        missed = f"; {lost} faces were not found" if lost else ""
        rows.append((part, f"photos over REST, in int8{missed}", *_figures(figures)))
    head = ("faces", "given", "number", "MAE, years", "CS@5", "bias, years", "interval holds")
    return Table(head, rows).markdown()


def interval() -> str:
    """The coverage of the prediction interval."""
    results = _results()
    held = [
        check.coverage.value for check in results.checks() if check.coverage and check.group != ALL
    ]
    overall = results.together[ALL]["coverage"].value
    return (
        f"Over both sets `age_interval` holds {overall:.1f} % of the true ages, and "
        f"{min(held):.0f} to {max(held):.0f} % in each decade of them up to 79."
    )


def portraits() -> str:
    """Errors on portraits, whose ages are known as bounds."""
    bounded = _results().portraits
    if bounded is None:
        raise ValueError("metrics.json has no portraits: python -m train.evaluate measures them")
    over_rest = _measured(_over_rest("portraits")["figures"])
    rows = [
        (
            given,
            f"{figures['mae'].count}",
            _with_interval(figures["mae"], 1),
            f"{figures['bias'].value:+.1f}",
            f"{figures['inside5'].value:.0f} %",
        )
        for given, figures in (
            ("cropped faces", bounded.figures),
            ("photos over REST, in int8", over_rest),
        )
    ]
    head = ("given", "number", "years from the middle", "bias, years", "within bounds ± 5 years")
    return Table(head, rows).markdown()


def genders() -> str:
    """Errors of the service for older women and men, of each data set that tells them apart."""
    rows = []
    for name, words in {**NAMES, **VALIDATED, "portraits": "portraits"}.items():
        content = _over_rest(name)
        if "by" not in content:
            continue
        of_gender = {
            GENDERS.get(value, value): _measured(figures)
            for value, figures in content["by"]["gender"].items()
        }
        women, men = of_gender["female"], of_gender["male"]
        cells = [
            f"{each['mae'].count:,}: {_with_interval(each['mae'], 1)}" for each in (women, men)
        ]
        biases = [f"{each['bias'].value:+.1f}" for each in (women, men)]
        more = women["mae"].value - men["mae"].value
        rows.append((f"{words}, above {content['above']:.0f}", *cells, f"{more:+.1f}", *biases))
    head = ("faces", "women, number: MAE, years", "men", "women's is more by", "bias, women", "men")
    return Table(head, rows).markdown()


def tasks() -> str:
    """The figures of the shipped weights of categories, of the exported model and over REST."""
    rows = []
    for path in sorted(STORE.glob("*/metrics.json")):
        folder = path.parent
        given = {"prepared": json.loads(path.read_text())["together"][ALL]}
        for name, way in OVER_REST.items():
            if (file := folder / "rest" / f"{name}.json").is_file():
                content = json.loads(file.read_text())
                lost = content["answered"] - content["found"]
                given[f"{way}; {lost} faces were not found" if lost else way] = content["figures"]
        task = f"[{folder.name}](../model_store/{folder.name}/README.md)"
        rows += [(task, way, *_of_categories(figures)) for way, figures in given.items()]
    head = ("task", "test images", "number", *_CATEGORIES.values())
    return Table(head, rows).markdown()


def baselines() -> str:
    """Classifiers of frozen features beside the shipped networks."""
    rows = []
    for path in sorted(STORE.glob("*/baselines.json")):
        for row in json.loads(path.read_text()):
            accuracy, mae = row["figures"]["accuracy"], row["figures"]["mae"]
            rows.append(
                (
                    path.parent.name,
                    row["name"],
                    _with_interval(Measured(**accuracy), 1),
                    _with_interval(Measured(**mae), 1) if mae else "-",
                    f"{row['milliseconds']:.0f}",
                    f"{row['megabytes']:.0f}",
                    "-" if row["seconds"] is None else f"{row['seconds']:.0f}",
                )
            )
    head = ("task", "classifier", "accuracy, %", "MAE, years")
    return Table((*head, "ms per image", "MB", "s to train"), rows).markdown()


def summary() -> str:
    """One line of accuracy for each data set."""
    rows = [
        (f"{NAMES[name]}, {figures['mae'].count:,} test faces", *_figures(figures)[1:])
        for name, figures in _results().sources.items()
    ]
    for name, words in VALIDATED.items():
        figures = _measured(_over_rest(name)["figures"])
        count = f"{figures['mae'].count:,}"
        rows.append((f"{words}, {count} validation faces", *_figures(figures)[1:]))
    head = ("", "MAE, years [95 %]", "within 5 years", "bias, years", "interval holds")
    return Table(head, rows).markdown()


def capacity() -> str:
    """Machines of 16 cores for the speeds in docs/benchmarks.md, which were measured on two."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = []
    for found in _SPEED.finditer(page):
        measured = planning.Measured(float(found["images"]), 2, float(found["memory"]))
        machine = planning.Machine(16, 0.5, 1, None)
        plans = [planning.plan(rate, measured, machine) for rate in RATES]
        memory = f"{plans[0].memory:.0f} GB"
        machines = (f"{each.machines:,}" for each in plans)
        rows.append((found["mix"], found["images"], *machines, memory))
    rates = (f"machines for {rate:,} images/s" for rate in RATES)
    return Table(("images", "images/s on 2 cores", *rates, "memory of each"), rows).markdown()


def capacity_gpu() -> str:
    """GPUs for speeds that were not measured."""
    rows = []
    for images in (100, 300, 1000, 3000):
        measured, machine = planning.Measured(images, 1, None), planning.Machine(1, 0.5, 1, None)
        plans = [planning.plan(rate, measured, machine) for rate in RATES]
        rows.append((f"{images:,}", *(f"{each.machines:,}" for each in plans)))
    rates = (f"GPUs for {rate:,} images/s" for rate in RATES)
    return Table(("where a GPU answers, images/s", *rates), rows).markdown()


def failures() -> str:
    """Every failure of the handler."""
    rows = [
        (f"{kind.code}", kind.type, _words(inspect.getdoc(kind) or ""))
        for kind in errors.Failure.__subclasses__()
    ]
    return Table(("code", "type", "case"), rows).markdown()


def serving_settings() -> str:
    """Every key of model-config.yaml's `handler`."""
    tree = ast.parse(inspect.getsource(settings.Settings)).body[0]
    if not isinstance(tree, ast.ClassDef):
        raise TypeError("Settings is a class")
    rows = []
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name, meaning = ast.unparse(field.target), ast.literal_eval(text.value)
            default = getattr(settings.Settings, name)
            rows.append(
                (f"`handler.{name}`", f"`{default}`", settings.takes(name) or "", _words(meaning))
            )
    return Table(("key", "default", "takes", "meaning"), rows).markdown()


def training_settings() -> str:
    """Every key of train/config, with the values that `train.configuration.schema` allows."""
    rows = []
    for key, value, meaning in (*_keys("config.yaml"), *_keys("model/resnet18.yaml", "model.")):
        if wanted := requirement(key):
            rows.append((f"`{key}`", f"`{value}`", wanted.strip(","), meaning))
    return Table(("key", "default", "takes", "meaning"), rows).markdown()


def _keys(file: str, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Key, value and comment of every line of a YAML file; nested keys are joined by dots."""
    parents: list[str] = []
    for line in (CONFIG / file).read_text().splitlines():
        if found := _KEY.fullmatch(line):
            del parents[len(found["indent"]) // 2 :]
            parents.append(found["key"])
            yield prefix + ".".join(parents), found["value"], found["meaning"] or ""


TABLES: Mapping[str, Callable[[], str]] = {
    table.__name__: table
    for table in (
        *(
            accuracy,
            interval,
            portraits,
            genders,
            tasks,
            baselines,
            summary,
            capacity,
            capacity_gpu,
        ),
        *(failures, serving_settings, training_settings),
    )
}


def _results() -> Results:
    return Results.from_json(
        json.loads((STORE / "metrics.json").read_text()), ("utkface", "appa_real")
    )


def _over_rest(name: str) -> dict[str, Any]:
    """What `bench.evaluate_service` wrote of a data set."""
    content: dict[str, Any] = json.loads((STORE / "rest" / f"{name}.json").read_text())
    return content


def _measured(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Measured]:
    return {key: Measured(**value) for key, value in figures.items()}


def _figures(figures: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{figures['mae'].count:,}",
        _with_interval(figures["mae"], 2),
        f"{figures['cs5'].value:.0f} %",
        f"{figures['bias'].value:+.1f}",
        f"{figures['coverage'].value:.1f} %",
    )


def _of_categories(figures: Mapping[str, Any]) -> tuple[str, ...]:
    measured = _measured(figures)
    cells = (_with_interval(measured[n], 1) if n in measured else "-" for n in _CATEGORIES)
    return (f"{measured['accuracy'].count:,}", *cells)


def _with_interval(figure: Measured, digits: int) -> str:
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def _words(docstring: str) -> str:
    return " ".join(docstring.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it would")
    check = parser.parse_args().check
    stale = 0
    pages = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    current = {page: rendered(page.read_text()) for page in pages}
    current[API] = json.dumps(document(), indent=1) + "\n"
    for path, new in current.items():
        if not path.exists() or new != path.read_text():
            stale += 1
            print(f"{path.relative_to(ROOT)} {'is not up to date' if check else 'written'}")
            if not check:
                path.write_text(new)
    if check and stale:
        sys.exit("run python scripts/render_docs.py")


if __name__ == "__main__":
    main()
