"""What TorchServe is given of `handler.metrics`."""

from typing import Any

import pytest
from ts.metrics.metric_cache_errors import MetricsCacheKeyError

from handler.answer import Model
from handler.metrics import NAMES, Metrics, Value
from tests.unit.handler.test_metrics import DECLARED

MODEL = Model("age", "1.0", "abc")


class Cache:
    """TorchServe's metrics, with what they were given."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.added: list[tuple[str, float, list[str]]] = []
        self.kinds: dict[str, str] = {}

    def get_metric(self, metric_name: str, metric_type: Any) -> Any:
        if metric_name in self.missing:
            raise MetricsCacheKeyError(f"{metric_name} is unknown")
        self.kinds[metric_name] = metric_type.value
        return type(
            "Metric",
            (),
            {"add_or_update": lambda _, *given: self.added.append((metric_name, *given))},
        )()


class TestMetrics:
    def test_are_given_to_torchserve(self) -> None:
        cache = Cache()
        Metrics(cache, MODEL).add([Value("face_age_images_total", 2, ("answered",))])
        assert cache.added == [
            ("face_age_model_info", 1, ["age", "1.0", "abc"]),
            ("face_age_images_total", 2, ["age", "1.0", "answered"]),
        ]

    def test_are_of_the_declared_kinds(self) -> None:
        cache = Cache()
        Metrics(cache, MODEL)
        assert cache.kinds == {
            metric["name"]: kind
            for kind, metrics in DECLARED["model_metrics"].items()
            for metric in metrics
            if metric["name"] in NAMES
        }

    def test_undeclared_ones(self) -> None:
        with pytest.raises(LookupError, match="face_age_images_total is unknown"):
            Metrics(Cache("face_age_images_total"), MODEL)
