import sys
from pathlib import Path

import pytest
import torch

from handler import hardware
from handler.hardware import (
    fast_in_bfloat16,
    fast_in_float16,
    fast_in_int8,
)

ROOT = Path(hardware.__file__).parents[1]
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="control groups and glibc")


@pytest.mark.parametrize(("capability", "fast"), [((6, 1), False), ((7, 0), True), ((9, 0), True)])
def test_gpus_fast_in_float16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], fast: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_in_float16(CUDA) is fast
    assert not fast_in_float16(CPU)


class TestFastInBfloat16:
    @pytest.mark.parametrize(
        ("capability", "avx512", "amx", "other", "fast"),
        [
            ("AVX512", True, False, True, True),
            ("AVX512", False, True, True, True),
            ("AVX512", False, False, True, False),  # mkldnn takes it, and is slow
            ("AVX2", False, False, False, False),
            ("NEON", False, False, True, True),
            ("DEFAULT", False, False, False, False),
        ],
    )
    def test_cpu(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capability: str,
        avx512: bool,
        amx: bool,
        other: bool,
        fast: bool,
    ) -> None:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: other)
        assert fast_in_bfloat16() is fast

    def test_this_machine(self) -> None:
        """What is asked of torch there is private."""
        assert isinstance(fast_in_bfloat16(), bool)


class TestInt8:
    @pytest.mark.parametrize("supported", [True, False])
    def test_needs_vnni(self, monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: supported)
        assert fast_in_int8(CPU) is supported
        assert fast_in_int8(CUDA) is False

    def test_this_machine(self) -> None:
        """What is asked of torch there is private."""
        assert isinstance(fast_in_int8(CPU), bool)


def test_what_is_left_to_the_cpu_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    hardware.log_uncompiled("faces are found", RuntimeError("no gcc.\nPlease specify"))
    hardware.log_uncompiled("faces are cropped", ValueError())
    first, second = caplog.messages
    assert first.startswith(
        "faces are found on the CPU, as Triton compiled no kernel for the GPU ("
    )
    assert "(no gcc. Please specify): it needs gcc" in first
    assert "(ValueError)" in second
