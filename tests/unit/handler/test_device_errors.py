"""An exception becomes the failure of one image, or ends the worker."""

import logging

import pytest
import torch

from handler.device_errors import to_failure
from handler.errors import DeviceLost, InternalError, InvalidImage, OutOfMemory


def test_a_failure_stays_itself(caplog: pytest.LogCaptureFixture) -> None:
    failure = InvalidImage("it is truncated")
    assert to_failure(failure) is failure
    assert not caplog.records


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("... in the TorchScript interpreter.\nRuntimeError: CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_out_of_memory(error: Exception) -> None:
    failure = to_failure(error)
    assert type(failure) is OutOfMemory
    assert failure.message == (
        "the server has too little memory for this image now; send it later, or scaled down"
    )


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a secret of the inside"),
        ValueError("out of memory"),
        RuntimeError("CUDA error: invalid argument"),
        RuntimeError("no misaligned address of CUDA's"),
    ],
)
def test_any_other_error(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        failure = to_failure(error)
    assert type(failure) is InternalError
    assert failure.message == "a fault of the server, written to its log; other images may work"
    assert f"{type(error).__name__}: {error}" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...",
        "... in the TorchScript interpreter.\nCUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
    ],
)
def test_device_lost(text: str) -> None:
    error = RuntimeError(text)
    with pytest.raises(DeviceLost) as lost:
        to_failure(error)
    assert lost.value.__cause__ is error
