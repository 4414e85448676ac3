"""Predictions for folders of any size: what `face-age batch` is made of."""
