"""Why a photograph was not answered.

AskError
├── Unreachable   nothing listens there
├── Interrupted   the connection broke, or nothing came in time
├── Refused       the service or TorchServe said no, and why
└── Malformed     an answer that is not what the service promises
"""


class AskError(Exception):
    """One photograph was not answered; `str()` is one line for a person."""


class Unreachable(AskError):
    """There is no connection to the service, so no other photograph has a chance either."""


class Interrupted(AskError):
    """The connection broke before the answer, or the answer took too long."""


class Refused(AskError):
    """A failure in the service's own words.

    `type` is what to switch on: one of the service's (InvalidImage, ...), of TorchServe's
    (ModelNotFoundException, ...), a gRPC status (RESOURCE_EXHAUSTED, ...), or `HTTP 413` where
    there was no body to say more. `code` is the HTTP status, None for a gRPC status.
    `retry_after` in seconds is when to ask again, None where that would not help.
    """

    def __init__(
        self,
        type: str,  # noqa: A002
        message: str,
        code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message
        self.code = code
        self.retry_after = retry_after


class Malformed(AskError):
    """The answer breaks its promise: not JSON, a key missing, an age that cannot be."""
