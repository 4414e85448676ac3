"""What is chosen for a device; the GPU's parts have tests of their own."""

import pytest
import torch

from handler.imaging import cuda_crop, cuda_decode
from handler.imaging.on_gpu import cropper_for, decoder_for
from handler.settings import SettingsError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


class TestCropper:
    def test_the_cpu_has_none(self) -> None:
        assert cropper_for(CPU) is None

    def test_a_gpu_has_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cuda_crop, "CudaCropper", lambda device: ("of", device))
        assert cropper_for(GPU) == ("of", GPU)

    def test_pillow_crops_where_no_kernel_compiles(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(device: torch.device) -> None:
            raise RuntimeError("Failed to find C compiler.")

        monkeypatch.setattr(cuda_crop, "CudaCropper", fail)
        assert cropper_for(GPU) is None
        assert "faces are cropped on the CPU, as Triton compiled no kernel" in caplog.text


class TestDecoder:
    @pytest.mark.parametrize("device", [CPU, GPU])
    def test_none_by_default(self, device: torch.device) -> None:
        assert decoder_for("cpu", device) is None

    def test_a_gpu_has_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cuda_decode, "CudaDecoder", lambda device: ("of", device))
        assert decoder_for("gpu", GPU) == ("of", GPU)

    def test_a_cpu_is_refused(self) -> None:
        with pytest.raises(SettingsError) as caught:
            decoder_for("gpu", CPU)
        assert str(caught.value) == (
            "model-config.yaml: handler.decoder is gpu, and this worker is on cpu: set it to cpu"
        )

    def test_a_torchvision_without_nvjpeg_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(device: torch.device) -> None:
            raise RuntimeError("torchvision was not\ncompiled with nvJPEG")

        monkeypatch.setattr(cuda_decode, "CudaDecoder", fail)
        with pytest.raises(SettingsError) as caught:
            decoder_for("gpu", GPU)
        assert str(caught.value) == (
            "model-config.yaml: handler.decoder is gpu, and nvJPEG decodes nothing here "
            "(torchvision was not compiled with nvJPEG): set it to cpu"
        )
