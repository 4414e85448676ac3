"""Triton's compiler takes the kernels. It needs no GPU, and is stricter than its interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torchserve import ROOT

CODE = """
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from handler.faces import area_kernel
from handler.imaging import crop_kernel

pointers = {"pixels": "*u8", "table": "*i64"}
kernels = {
    area_kernel._average_rows: (
        pointers | {"starts": "*i64", "widths": "*i64", "out": "*fp32"},
        {"FIELDS": area_kernel.FIELDS, "CHANNELS": 4, "WINDOW": area_kernel.NARROW, "RUN": 32},
    ),
    crop_kernel._scale_rows: (
        pointers | {"squares": "*fp32", "out": "*u8"},
        {"FIELDS": crop_kernel.FIELDS, "WINDOW": crop_kernel.WINDOW, "RUN": crop_kernel.RUN},
    ),
}
target = GPUTarget("cuda", int(sys.argv[1]), 32)
for kernel, (types, constants) in kernels.items():
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    print(len(triton.compile(source, target=target).asm["cubin"]))
"""


@pytest.mark.parametrize("capability", [75, 90])
def test_they_compile(capability: int, tmp_path: Path) -> None:
    environ = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environ.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-c", CODE, str(capability)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [int(size) > 1000 for size in done.stdout.split()] == [True, True]
