"""Core dumps, the precisions that the hardware computes fast in, and GPUs without a compiler."""

import logging
import sys

import torch

logger = logging.getLogger(__name__)


def disable_core_dumps() -> None:
    """Disable core dumps, which would contain user images.

    A limit of 1 byte also holds where the kernel pipes dumps to a program; 0 does not.
    """
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        least = 1 if most == resource.RLIM_INFINITY else min(1, most)
        resource.setrlimit(resource.RLIMIT_CORE, (least, least))


def fast_in_float16(device: torch.device) -> bool:
    """Whether it is a GPU with tensor cores for float16: of Volta, capability 7.0, or newer."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def fast_in_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16 natively, faster than in float32."""
    if torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fast_in_int8(device: torch.device) -> bool:
    """Whether the CPU has VNNI, which multiplies and accumulates int8 in one instruction.

    Without it torch is slower in int8, and its sums of products can overflow.
    """
    return device.type == "cpu" and bool(torch.cpu._is_vnni_supported())


def disable_tf32() -> None:
    """Disable TF32 on CUDA, in this process; no effect without a GPU.

    By default cuDNN rounds float32 to the 11 bits of TF32 in convolutions. With it, MTCNN lost two
    of 542 faces, ages changed by up to 2.8 years, and by up to 0.8 with the batch's other images.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def log_uncompiled(work: str, error: Exception) -> None:
    """Log that `work`, such as "faces are found", is left to the CPU, as no kernel compiles."""
    logger.warning(
        "%s on the CPU, as Triton compiled no kernel for the GPU (%s): it needs gcc, Python's "
        "headers (python3-dev) and a TRITON_CACHE_DIR without noexec",
        work,
        " ".join(str(error).split()) or type(error).__name__,
    )
