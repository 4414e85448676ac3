"""What is measured, and not shipped: `python -m bench.NAME` in the root of the repository."""

from train.extras import install_excepthook

install_excepthook()
