"""Provenance and terms of weights in words, for the model card and the report."""

from collections.abc import Iterable, Iterator, Sequence

from train.evaluation.tables import Table
from train.provenance.provenance import Provenance, Step, Training
from train.provenance.terms import DataSet, Terms, Use


def steps(provenance: Provenance) -> Table:
    """The steps that led to the weights, each after its dependencies."""
    numbers = {step.key: str(i) for i, step in enumerate(provenance.steps, 1)}
    return Table(
        ("step", "what it is", "began from", "learned from", "trained on"),
        [
            (
                number,
                _what(step),
                ", ".join(numbers[key] for key in step.start) or _from_nothing(step),
                _teachers([numbers[key] for key in step.teachers], step.training),
                ", ".join(each.name for each in step.data) or "-",
            )
            for number, step in zip(numbers.values(), provenance.steps, strict=True)
        ],
    )


def materials(provenance: Provenance) -> list[str]:
    """Data sets and others' weights with their terms and the steps that used them."""
    lines = [
        f"{_titled(each)} (trained on in {_numbered(provenance, _users(provenance, each))}): "
        f"{_words(each.terms, each.title)}"
        for each in provenance.data()
    ]
    return lines + [
        f"{step.words or step.name} ({_numbered(provenance, [step])}): "
        f"{_words(step.terms, step.name)}"
        for step in provenance.steps
        if step.terms is not None
    ]


def terms(provenance: Provenance) -> str:
    """The strictest of all terms in a sentence, with the reason; then unknown terms."""
    sentences = []
    if reasons := _reasons(provenance):
        sentences.append(
            "Terms: these weights are for non-commercial research only, because they "
            f"{' and '.join(reasons)}."
        )
    unknown = [step.name for step in provenance.steps if step.terms and step.terms.use == "unknown"]
    if unknown:
        first = "Beyond that, terms" if sentences else "Terms"
        names = _listed(dict.fromkeys(unknown))
        sentences.append(f"{first}: not known for {names}; ask its authors.")
    if not sentences:
        sources = _listed(dict.fromkeys(_sources(provenance)))
        sentences.append(f"Terms: those of {sources}." if sources else "Terms: no training data.")
    return " ".join(sentences)


def forbidden(provenance: Provenance) -> str:
    """The uses that the terms prohibit, as a line."""
    uses = _uses(provenance)
    if "non-commercial" in uses:
        return "Any commercial use: the terms of the data do not allow it."
    if "unknown" in uses:
        return "Any use, before the unknown terms are cleared."
    return "Any use that the terms of the data do not allow."


def facts(provenance: Provenance) -> list[tuple[str, str]]:
    """Terms as name and value."""
    return [("terms", terms(provenance)), ("with the terms of", "; ".join(materials(provenance)))]


def _what(step: Step) -> str:
    if step.training is not None:
        return f"{step.name}: {_training(step.training)}"
    if step.kind == "unknown":
        return f"{step.name}: of unknown origin"
    return f"{step.name}: {step.words}"


def _training(run: Training) -> str:
    frozen = run.frozen
    parts = [
        run.backbone,
        _epochs(run),
        f"batch {run.batch}",
        "AdamW",
        f"one cycle up to {run.learning_rate:g}",
    ]
    if frozen is True:
        parts.append("heads only")
    elif frozen:
        parts.append(f"{', '.join(frozen)} frozen")
    if run.ema:
        parts.append(f"moving average {run.ema:g}")
    if run.loss != "dldl_v2":
        parts.append(f"loss {run.loss}")
    if run.blend:
        parts.append(f"mixup of {run.blend:.0%} of faces, with the teachers' ages as targets")
    return f"{', '.join(parts)}; seed {run.seed}"


def _epochs(run: Training) -> str:
    unit = "epoch" if run.epochs == 1 else "epochs"
    if run.done is None:
        epochs = f"up to {run.epochs} {unit}"
    elif run.before:
        epochs = f"epochs {run.before + 1} to {run.done} of {run.epochs}"
    elif run.done == run.epochs:
        epochs = f"{run.epochs} {unit}"
    else:
        epochs = f"{run.done} of {run.epochs} {unit}"
    return epochs if run.limit is None else f"{epochs} of {run.limit:g} batches each"


def _from_nothing(step: Step) -> str:
    return {"unknown": "not known", "published": "-"}.get(step.kind, "scratch")


def _teachers(numbers: Sequence[str], run: Training | None) -> str:
    if not numbers:
        return "-"
    weight = f" ({run.teacher_weight:.0%} of the target)" if run else ""
    features = ", and their features" if run and run.hint_weight else ""
    return f"{', '.join(numbers)}{weight}{features}"


def _titled(data: DataSet) -> str:
    return data.title if data.title == data.name else f"{data.title}, `{data.name}`"


def _users(provenance: Provenance, data: DataSet) -> list[Step]:
    return [step for step in provenance.steps if data in step.data]


def _numbered(provenance: Provenance, chosen: Sequence[Step]) -> str:
    numbers = [str(provenance.steps.index(step) + 1) for step in chosen]
    return f"step{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _words(terms: Terms | None, name: str) -> str:
    if terms is None or terms.use == "unknown":
        return f"terms: not known for {name}; ask its authors"
    return terms.words or f"terms: those of {name}, not stated in training"


def _uses(provenance: Provenance) -> set[Use]:
    data = {each.terms.use for each in provenance.data()}
    return data | {step.terms.use for step in provenance.steps if step.terms is not None}


def _sources(provenance: Provenance) -> Iterator[str]:
    yield from (each.title for each in provenance.data())
    for step in provenance.steps:
        if step.terms is not None:
            yield step.words or step.name


def _reasons(provenance: Provenance) -> list[str]:
    """Reasons why commercial use is prohibited, each a verb with its data or weights."""
    finals = provenance.finals()
    began = [e for f in finals for e in provenance.before(f) if e not in finals]
    # teachers, the nearest first: later steps come later in the list
    teachers = [e for e in reversed(provenance.steps) if e not in finals and e not in began]
    seen: set[str] = set()
    reasons = []
    for verb, group in (("", finals), ("began from", began), ("learned from", teachers)):
        titles = [t for step in group for t in _restricted(step) if t not in seen]
        if not titles:
            continue
        seen.update(titles)
        if not verb:
            reasons.append(f"were trained on {_listed(dict.fromkeys(titles))}")
            continue
        (first, *_) = (step for step in group if set(titles) & set(_restricted(step)))
        if first.kind == "published" and not first.data:
            reasons.append(f"{verb} {first.name} ({first.terms and first.terms.words})")
        else:
            trained = _listed(dict.fromkeys(titles))
            reasons.append(f"{verb} {first.name}, which was trained on {trained}")
    return reasons


def _restricted(step: Step) -> list[str]:
    """Data sets and weights of the step whose own terms prohibit commercial use."""
    found = [each.title for each in step.data if each.terms.use == "non-commercial"]
    if step.terms is not None and step.terms.use == "non-commercial":
        found.append(step.name)
    return found


def _listed(names: Iterable[str]) -> str:
    *others, last = [*names] or [""]
    return f"{', '.join(others)} and {last}" if others else last
