"""Outputs and labels of tasks that tests share."""

from handler.task import Categories, Ordinal
from train.data.labels import Labels

AGE = Ordinal(0, 116, "years")
AGE_LABELS = Labels("age", AGE)
SHAPES = Categories(("circle", "cross", "square"))
SHAPE_LABELS = Labels("shape", SHAPES)
