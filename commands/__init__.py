"""The command line: `face-age` and its sub-commands."""

from train.extras import install_excepthook

install_excepthook()
