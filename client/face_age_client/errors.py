"""Why there is no answer to an image.

ClientError
├── Unreachable   no connection to the service
├── Interrupted   the connection broke, or the answer took too long
├── Refused       the service, TorchServe or a proxy said no, and why
└── Malformed     the answer is not what the service promises
"""


class ClientError(Exception):
    """An image without an answer; `str()` is one line."""


class Unreachable(ClientError):
    """No connection to the service: other images will fail too."""


class Interrupted(ClientError):
    """The connection broke before the answer, or the answer took too long."""


class Refused(ClientError):
    """A failure in the service's own words.

    `type` is what to switch on: the service's (InvalidImage, ...), TorchServe's
    (ModelNotFoundException, ...), a gRPC status (RESOURCE_EXHAUSTED, ...), or `HTTP 413` for a
    response without a JSON body. `code` is the HTTP status, None for a gRPC status. `retry_after`
    is in seconds, None if another attempt would not help.
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


class Malformed(ClientError):
    """The answer is not JSON, lacks a key, or has an impossible value."""
