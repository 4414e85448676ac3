"""Classifiers of fixed features by scikit-learn: linear, SVM, boosted trees, and all together.

They are what systems before fine-tuned networks used, to compare a network with.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

Floats = NDArray[np.float32]
COMPONENTS = 64  # principal components that trees grow on: they take hours on all features


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of features."""

    model: Any  # scikit-learn's
    classes: int

    def scores(self, features: Floats) -> Floats:
        """Scores [n, K] of features [n, F], each row summing to 1; 0 for classes not seen."""
        if hasattr(self.model, "predict_proba"):
            known = self.model.predict_proba(features)
        else:  # an SVM: its margins, as softmax makes them comparable with probabilities
            margins = self.model.decision_function(features)
            if margins.ndim == 1:  # of two classes
                margins = np.stack([-margins, margins], axis=1)
            known = torch.from_numpy(margins).softmax(dim=1).numpy()
        scores = np.zeros((len(features), self.classes), np.float32)
        scores[:, self.model.classes_.astype(int)] = known
        return scores


@dataclass(frozen=True)
class Ensemble:
    """The mean of several classifiers' scores."""

    members: Sequence[Classifier]

    def scores(self, features: Floats) -> Floats:
        """Scores [n, K] of features [n, F]."""
        mean: Floats = np.mean([member.scores(features) for member in self.members], axis=0)
        return mean


def trained(
    features: Floats, targets: NDArray[np.int64], classes: int, seed: int
) -> Iterator[tuple[str, Classifier | Ensemble, float]]:
    """Classifiers of features [n, F] and indices of categories [n]: name, and seconds of training.

    The last one is the ensemble of the others.
    """
    models = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)),
        "SVM": make_pipeline(StandardScaler(), SVC(C=3.0)),
        "gradient boosting": make_pipeline(
            StandardScaler(),
            PCA(min(COMPONENTS, *features.shape), random_state=seed),
            HistGradientBoostingClassifier(
                max_iter=50, max_leaf_nodes=15, early_stopping=False, random_state=seed
            ),
        ),
    }
    members, start = [], time.perf_counter()
    for name, model in models.items():
        begin = time.perf_counter()
        members.append(Classifier(model.fit(features, targets), classes))
        yield name, members[-1], time.perf_counter() - begin
    yield "ensemble", Ensemble(members), time.perf_counter() - start


def array_bytes(model: object) -> int:
    """Size of all arrays that a model holds, bytes."""
    if isinstance(model, np.ndarray):
        return model.nbytes
    if isinstance(model, list | tuple):
        return sum(map(array_bytes, model))
    if isinstance(model, dict):
        return sum(map(array_bytes, model.values()))
    return array_bytes(vars(model)) if hasattr(model, "__dict__") else 0
