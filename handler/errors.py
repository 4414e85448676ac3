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
    """The request holds no photograph, or cannot be read."""

    code, type, phrase = 400, "InvalidRequest", "Bad Request"


class InvalidOption(Failure):
    """An option is unknown, of the wrong type or out of its range."""

    code, type, phrase = 400, "InvalidOption", "Bad Request"


class InvalidImage(Failure):
    """The bytes start like an image and cannot be decoded."""

    code, type, phrase = 400, "InvalidImage", "Bad Request"


class ImageTooLarge(Failure):
    """The image has more pixels than are served."""

    code, type, phrase = 413, "ImageTooLarge", "Request Entity Too Large"


class UnsupportedImageFormat(Failure):
    """The bytes are not of an image format that is served."""

    code, type, phrase = 415, "UnsupportedImageFormat", "Unsupported Media Type"


class InternalError(Failure):
    """A fault of this program; the worker's log has the traceback."""

    code, type, phrase = 500, "InternalError", "Internal Server Error"


class DescriptionNotImplemented(Failure):
    """TorchServe's management was asked for a description by the handler (`customized=true`)."""

    code, type, phrase = 501, "NotImplemented", "Not Implemented"


class ExplanationsNotImplemented(Failure):
    """`/explanations` was called."""

    code, type, phrase = 501, "NotImplemented", "Not Implemented"


class WaitedTooLong(Failure):
    """The request came so long ago that it is not worth its computation any more."""

    code, type, phrase = 503, "WaitedTooLong", "Service Unavailable"


class OutOfMemory(Failure):
    """The device's memory does not hold even this one photograph."""

    code, type, phrase = 507, "OutOfMemory", "Insufficient Storage"
