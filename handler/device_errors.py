"""Classification of exceptions: a lost CUDA device, out of memory, or any other fault."""

import logging
from typing import Final

from handler.errors import DeviceLost, Failure, InternalError, OutOfMemory

logger = logging.getLogger(__name__)

# Texts of a failed allocation that is no exception of its own: inside TorchScript every exception
# becomes a RuntimeError with the original's text.
_OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")

# Errors after which, by CUDA's reference of cudaError_t, the process must end and start again; the
# texts are those of cudaGetErrorString.
_DEVICE_LOST: Final = (
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "context is destroyed",
    "device-side assert triggered",
    "hardware stack error",
    "invalid program counter",
    "misaligned address",
    "operation not supported on global/shared address space",
    "the launch timed out and was terminated",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error detected during the execution",
    "unspecified launch failure",
)


def to_failure(error: Exception) -> Failure:
    """The failure that answers an exception; one that is no Failure is logged with its traceback.

    Raises DeviceLost if CUDA cannot compute anything more in this process.
    """
    if isinstance(error, Failure):
        return error
    logger.error("unexpected exception in the pipeline", exc_info=error)
    text = str(error)
    if "CUDA error: " in text and any(lost in text for lost in _DEVICE_LOST):
        raise DeviceLost("CUDA cannot compute anything more in this process") from error
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(part in text for part in _OUT_OF_MEMORY)
    ):
        return OutOfMemory(
            "the server has too little memory for this image now; send it later, or scaled down"
        )
    return InternalError("a fault of the server, written to its log; other images may work")
