"""Which parts of imaging a GPU takes over from Pillow."""

from typing import TYPE_CHECKING

import torch

from handler.hardware import log_uncompiled
from handler.imaging.decode import JPEGDecoder
from handler.settings import Decoder, SettingsError

if TYPE_CHECKING:
    from handler.imaging.cuda_crop import CudaCropper


def cropper_for(device: torch.device) -> "CudaCropper | None":
    """What crops on a GPU; None where Pillow does.

    That is also where no kernel can be compiled for the GPU, with a warning.
    """
    if device.type != "cuda":
        return None
    try:
        # Triton comes with torch's wheels for GPUs alone
        from handler.imaging.cuda_crop import CudaCropper

        return CudaCropper(device)
    except Exception as error:  # whatever a compiler, a linker or a folder lacks
        log_uncompiled("faces are cropped", error)
        return None


def decoder_for(decoder: Decoder, device: torch.device) -> JPEGDecoder | None:
    """What decodes JPEGs on a GPU for the setting `decoder`; None where Pillow does.

    Raises SettingsError if the setting asks for a GPU that is not there or does not decode.
    """
    if decoder == "cpu":
        return None
    if device.type != "cuda":
        raise SettingsError(
            f"model-config.yaml: handler.decoder is gpu, and this worker is on {device}: set it to "
            "cpu"
        )
    # torchvision takes 80 MB of a worker's memory
    from handler.imaging.cuda_decode import CudaDecoder

    try:
        return CudaDecoder(device)
    except RuntimeError as error:
        raise SettingsError(
            "model-config.yaml: handler.decoder is gpu, and nvJPEG decodes nothing here "
            f"({' '.join(str(error).split())}): set it to cpu"
        ) from error
