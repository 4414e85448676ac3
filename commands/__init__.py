"""What a user types: `face-age` and its sub-commands."""

from train.extras import install_excepthook

install_excepthook()
