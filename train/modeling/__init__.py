"""The network, its losses and training module, and the files of its weights."""
