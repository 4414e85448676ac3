"""What a worker imports."""

import subprocess
import sys


def test_a_worker_imports_neither_torchvision_nor_facenet_pytorch() -> None:
    code = (
        "import sys, torch, handler.torchserve_handler, handler.faces.mtcnn_layers\n"
        "handler.faces.mtcnn_layers.Networks.load(torch.device('cpu'))\n"
        "print(*{'torchvision', 'facenet_pytorch'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
