"""Helpers for outcomes of the pipeline."""

from handler.answer import Answer
from handler.errors import Failure


def answered(outcome: Answer | Failure) -> Answer:
    assert isinstance(outcome, Answer), outcome
    return outcome
