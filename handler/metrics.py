"""Metrics of batches, for Prometheus: metrics.yaml declares them, docs/metrics.md explains them.

TorchServe takes a value as a line of the worker's output, at some 40 microseconds each, so that a
batch gives each metric once for each of its labels. Its histograms end at 10, and so suit seconds
alone: numbers are counted in ranges.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from handler.answer import Answer, CategoryPrediction, Model, OrdinalPrediction
from handler.errors import Failure

if TYPE_CHECKING:
    from ts.metrics.metric_type_enum import MetricTypes

ANSWERED: Final = "answered"
_SIZES: Final = (1, 2, 4, 8, 16, 32)  # last images of a range
_FACES: Final = (0, 1, 2, 5, 10, 30, 100)
_WIDTH: Final = 10  # of a range of predicted numbers
_UNSAFE: Final = re.compile(r"[^\w.-]+", re.ASCII)  # TorchServe's lines have , | and : of their own


@dataclass(frozen=True)
class Value:
    """A value of a metric, to be added to it."""

    metric: str
    value: float
    labels: tuple[str, ...] = ()  # in the order of metrics.yaml, after the model's name and version


def values_of(
    outcomes: Sequence[Answer | Failure], seconds: Mapping[str, float], total: float
) -> Iterator[Value]:
    """The values of one batch.

    Args:
        seconds: of each stage.
        total: seconds of the whole batch.
    """
    yield Value("face_age_batch_seconds", round(total, 6))
    for stage, taken in seconds.items():
        yield Value("face_age_stage_seconds", round(taken, 6), (stage,))
    yield Value("face_age_batches_total", 1, (_range_of(len(outcomes), _SIZES),))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    results = [ANSWERED] * len(answers) + [failure.type for failure in failures]
    yield from _counted("face_age_images_total", ((result,) for result in results))
    faces = [answer.faces for answer in answers if answer.faces is not None]
    counts = ((_range_of(len(found), _FACES),) for found in faces)
    yield from _counted("face_age_images_by_faces_total", counts)
    regions = [face.attributes for found in faces for face in found]
    regions += [answer.image for answer in answers if answer.image is not None]
    predictions = [item for attributes in regions for item in attributes.items()]
    ranges = ((safe_label(task), _range_of_value(prediction)) for task, prediction in predictions)
    yield from _counted("face_age_predictions_total", ranges)
    widths: dict[str, float] = {}
    for task, prediction in predictions:
        if isinstance(prediction, OrdinalPrediction):
            low, high = prediction.interval
            widths[task] = widths.get(task, 0.0) + high - low
    for task, width in widths.items():
        yield Value("face_age_interval_width_total", round(width, 3), (safe_label(task),))


def _counted(metric: str, labels: Iterable[tuple[str, ...]]) -> Iterator[Value]:
    return (Value(metric, count, each) for each, count in Counter(labels).items())


def _range_of_value(prediction: OrdinalPrediction | CategoryPrediction) -> str:
    if isinstance(prediction, CategoryPrediction):
        return safe_label(prediction.label)
    low = int(prediction.value // _WIDTH) * _WIDTH
    return f"{low}-{low + _WIDTH - 1}"


def _range_of(number: int, ends: Sequence[int]) -> str:
    """The range that holds a number: "3-4", or "33 and more" after the last of `ends`."""
    low = ends[0]
    for end in ends:
        if number <= end:
            return str(end) if low >= end else f"{low}-{end}"
        low = end + 1
    return f"{low} and more"


def safe_label(label: str) -> str:
    """A label's value without the characters that TorchServe's lines need."""
    return _UNSAFE.sub("_", label)


class _Metric(Protocol):
    def add_or_update(self, value: float, dimension_values: list[str]) -> object: ...


class Cache(Protocol):
    """TorchServe's metrics, as `context.metrics` has them."""

    def get_metric(self, metric_name: str, metric_type: "MetricTypes") -> _Metric:
        """The metric; raises an exception if the configuration does not declare it."""


class Metrics:
    """Gives TorchServe the metrics of a model's batches."""

    def __init__(self, cache: Cache, model: Model) -> None:
        """Says which model is served.

        Raises LookupError if TorchServe's configuration does not declare our metrics.
        """
        from ts.metrics.metric_cache_errors import MetricsCacheKeyError
        from ts.metrics.metric_type_enum import MetricTypes

        kinds = {
            "_seconds": MetricTypes.HISTOGRAM,
            "_total": MetricTypes.COUNTER,
            "_info": MetricTypes.GAUGE,
            "_index": MetricTypes.GAUGE,
            "_ratio": MetricTypes.GAUGE,
        }
        self._served = [safe_label(model.name), safe_label(model.version)]
        try:
            self._metrics = {
                name: cache.get_metric(name, kinds["_" + name.rpartition("_")[2]]) for name in NAMES
            }
        except MetricsCacheKeyError as error:
            raise LookupError(str(error)) from error
        self.add([Value("face_age_model_info", 1, (model.weights,))])

    def add(self, values: Iterable[Value]) -> None:
        """Add values to their metrics."""
        for value in values:
            labels = [*self._served, *value.labels]
            self._metrics[value.metric].add_or_update(value.value, labels)


NAMES: Final = (
    "face_age_batch_seconds",
    "face_age_stage_seconds",
    "face_age_batches_total",
    "face_age_images_total",
    "face_age_images_by_faces_total",
    "face_age_predictions_total",
    "face_age_interval_width_total",
    "face_age_model_info",
    "face_age_stability_index",
    "face_age_reference_ratio",
    "face_age_window_ratio",
)
