"""How a model comes to be: the learning half, which imports `handler` and never the other way."""
