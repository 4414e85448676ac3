"""The adapter's tests need TorchServe, and the others do not."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("ts") else ["torchserve"]
