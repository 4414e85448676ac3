"""The failures of one image, each with its HTTP status.

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

A failure is raised where it is found and becomes a value beside the answers of its batch.
`DeviceLost` is no failure of one image: it ends the process.
"""

from typing import ClassVar


class Failure(Exception):
    """Failure of one item; `code` is its HTTP status, `type` the name that clients match."""

    code: ClassVar[int]
    type: ClassVar[str]
    phrase: ClassVar[str]

    @property
    def message(self) -> str:
        """What is wrong and what to do, for the sender of the request."""
        return str(self.args[0])


class DeviceLost(Exception):
    """Every further CUDA call in this process fails with the same error."""


class InvalidRequest(Failure):
    """No image, more than one where one is taken, more than `handler.max_images`, or a request that
    cannot be read: bad base64, bad JSON."""

    code, type, phrase = 400, "InvalidRequest", "Bad Request"


class InvalidOption(Failure):
    """An option is unknown, of the wrong type or out of its range."""

    code, type, phrase = 400, "InvalidOption", "Bad Request"


class InvalidImage(Failure):
    """Truncated, corrupt, or with too many parts: more than 100 scans or 20,000 segments (JPEG),
    100,000 chunks (PNG)."""

    code, type, phrase = 400, "InvalidImage", "Bad Request"


class ImageTooLarge(Failure):
    """More pixels than `handler.max_pixels`, 65,535 on a side, or 4 million in a run-length encoded
    BMP; refused before decoding."""

    code, type, phrase = 413, "ImageTooLarge", "Request Entity Too Large"


class UnsupportedImageFormat(Failure):
    """Not JPEG, PNG, WebP, BMP or GIF, or a variant of these that is not decoded; the message names
    it."""

    code, type, phrase = 415, "UnsupportedImageFormat", "Unsupported Media Type"


class InternalError(Failure):
    """A fault of the server; its log has the traceback."""

    code, type, phrase = 500, "InternalError", "Internal Server Error"


class DescriptionNotImplemented(Failure):
    """`GET /models/age?customized=true`: the handler adds nothing to a model's description."""

    code, type, phrase = 501, "NotImplemented", "Not Implemented"


class ExplanationsNotImplemented(Failure):
    """`/explanations/age`, where `handler.explained_faces` is 0."""

    code, type, phrase = 501, "NotImplemented", "Not Implemented"


class WaitedTooLong(Failure):
    """The request waited longer than `handler.queue_timeout`; only behind the proxy. Of several
    images in a request: not begun within half of `responseTimeout`."""

    code, type, phrase = 503, "WaitedTooLong", "Service Unavailable"


class OutOfMemory(Failure):
    """Too little memory for this image, even alone."""

    code, type, phrase = 507, "OutOfMemory", "Insufficient Storage"
