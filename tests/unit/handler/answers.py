"""What tests of the pipeline do with its outcomes."""

from handler.answer import Answer
from handler.errors import Failure


def answered(outcome: Answer | Failure) -> Answer:
    assert isinstance(outcome, Answer), outcome
    return outcome
