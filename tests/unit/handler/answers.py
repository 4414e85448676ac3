"""Helpers for outcomes of the pipeline."""

from handler.answer import Answer, CategoryPrediction, Face, OrdinalPrediction
from handler.errors import Failure
from handler.predictions import CategoryPredictions, OrdinalPredictions, Predictions


def answered(outcome: Answer | Failure) -> Answer:
    assert isinstance(outcome, Answer), outcome
    return outcome


def faces_of(answer: Answer) -> tuple[Face, ...]:
    assert answer.faces is not None
    return answer.faces


def age_of(face: Face) -> OrdinalPrediction:
    age = face.attributes["age"]
    assert isinstance(age, OrdinalPrediction)
    return age


def tint_of(face: Face) -> CategoryPrediction:
    tint = face.attributes["tint"]
    assert isinstance(tint, CategoryPrediction)
    return tint


def ordinal(predictions: Predictions) -> OrdinalPredictions:
    assert isinstance(predictions, OrdinalPredictions)
    return predictions


def categorical(predictions: Predictions) -> CategoryPredictions:
    assert isinstance(predictions, CategoryPredictions)
    return predictions
