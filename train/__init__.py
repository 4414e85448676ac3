"""How a model comes to be: the learning half, which imports `handler` and never the other way."""

import sys

from train.extras import explain

if sys.argv[:1] == ["-m"]:  # so it is while Python looks for the module of `python -m train.fit`
    sys.excepthook = explain
