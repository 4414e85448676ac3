"""How a model comes to be: the learning half, which imports `handler` and never the other way."""

from train.extras import install_excepthook

install_excepthook()
