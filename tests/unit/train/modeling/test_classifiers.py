import numpy as np
import pytest
from numpy.typing import NDArray

from train.modeling.classifiers import Classifier, Ensemble, array_bytes, trained

CENTRES = np.array([[8, 0, 0], [0, 8, 0], [0, 0, 8]], np.float32)


def clusters(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three groups of 20 points that a plane separates; their classes are 0, 2 and 3 of four."""
    generator = np.random.default_rng(seed)
    points = [centre + generator.normal(size=(20, 3)) for centre in CENTRES]
    return np.concatenate(points).astype(np.float32), np.repeat([0, 2, 3], 20)


@pytest.fixture(scope="module")
def found() -> dict[str, Classifier | Ensemble]:
    features, classes = clusters(0)
    return {name: model for name, model, _ in trained(features, classes, 4, seed=0)}


def test_names(found: dict[str, Classifier | Ensemble]) -> None:
    assert list(found) == ["linear", "SVM", "gradient boosting", "ensemble"]


@pytest.mark.parametrize("name", ["linear", "SVM", "gradient boosting", "ensemble"])
def test_finds_the_classes_of_new_points(
    found: dict[str, Classifier | Ensemble], name: str
) -> None:
    features, classes = clusters(1)
    scores = found[name].scores(features)
    assert scores.shape == (60, 4)
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (scores[:, 1] == 0).all()  # not seen in training
    assert (scores.argmax(axis=1) == classes).all()


def test_two_classes_of_an_svm() -> None:
    features, classes = clusters(0)
    two = classes != 3
    models = {n: m for n, m, _ in trained(features[two], classes[two], 4, seed=0)}
    scores = models["SVM"].scores(features)
    assert (scores[two].argmax(axis=1) == classes[two]).all()
    assert scores[two].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_ensemble_is_the_mean(found: dict[str, Classifier | Ensemble]) -> None:
    features, _ = clusters(2)
    members = [found[name].scores(features) for name in ("linear", "SVM", "gradient boosting")]
    assert found["ensemble"].scores(features) == pytest.approx(np.mean(members, axis=0))


def test_array_bytes(found: dict[str, Classifier | Ensemble]) -> None:
    assert array_bytes({"a": np.zeros(3), "b": [np.zeros(2, np.uint8), "text"], "c": 1}) == 26
    sizes = {name: array_bytes(model) for name, model in found.items()}
    assert sizes["linear"] >= 3 * 4 * 4  # coefficients and intercepts of three classes
    assert sizes["ensemble"] == sum(size for name, size in sizes.items() if name != "ensemble")
