"""Every way in which one photograph can fail, each with its HTTP status.

Failure
├── InvalidRequest             400
├── InvalidOption              400
├── InvalidImage               400
├── ImageTooLarge              413
├── UnsupportedImageFormat     415
├── InternalError              500
├── DescriptionNotImplemented  501
├── ExplanationsNotImplemented 501
├── WaitedTooLong              503
└── OutOfMemory                507

A failure is raised where it is found and travels as a value beside the answers of its batch.
`DeviceLost` is none: there is nobody left in this process to answer.
"""

from typing import ClassVar


class Failure(Exception):
    """One item's failure; `code` is its HTTP status and `type` what clients switch on."""

    code: ClassVar[int]
    type: ClassVar[str]
    phrase: ClassVar[str]

    @property
    def message(self) -> str:
        """What is wrong and what to do about it, for the person who sent the request."""
        return str(self.args[0])


class DeviceLost(Exception):
    """CUDA will give every further call the same error, for as long as this process lives."""


class InvalidRequest(Failure):
    """No photograph, more than one, or a request that cannot be read: bad base64, bad JSON."""

    code, type, phrase = 400, "InvalidRequest", "Bad Request"


class InvalidOption(Failure):
    """An option is unknown, of the wrong type or out of its range."""

    code, type, phrase = 400, "InvalidOption", "Bad Request"


class InvalidImage(Failure):
    """Truncated, corrupt, or of so many parts that it is no photograph: more than 100 scans or
    20,000 segments (JPEG), 100,000 chunks (PNG)."""

    code, type, phrase = 400, "InvalidImage", "Bad Request"


class ImageTooLarge(Failure):
    """More pixels than `handler.max_pixels`, than 65,535 on a side, or than 4 million in a
    run-length encoded BMP; known before decoding."""

    code, type, phrase = 413, "ImageTooLarge", "Request Entity Too Large"


class UnsupportedImageFormat(Failure):
    """Not JPEG, PNG, WebP, BMP or GIF, or of a kind of these that is not decoded, which the message
    names."""

    code, type, phrase = 415, "UnsupportedImageFormat", "Unsupported Media Type"


class InternalError(Failure):
    """A fault of the server; its log has the traceback."""

    code, type, phrase = 500, "InternalError", "Internal Server Error"


class DescriptionNotImplemented(Failure):
    """`GET /models/age?customized=true`: the handler adds nothing to a model's description."""

    code, type, phrase = 501, "NotImplemented", "Not Implemented"


class ExplanationsNotImplemented(Failure):
    """`/explanations/age`: there are none."""

    code, type, phrase = 501, "NotImplemented", "Not Implemented"


class WaitedTooLong(Failure):
    """Behind the proxy: it has waited longer than `handler.queue_timeout` for a worker."""

    code, type, phrase = 503, "WaitedTooLong", "Service Unavailable"


class OutOfMemory(Failure):
    """Memory does not hold even this one photograph."""

    code, type, phrase = 507, "OutOfMemory", "Insufficient Storage"
