"""The quality of a model: figures, calibration, tables, model card and report."""
