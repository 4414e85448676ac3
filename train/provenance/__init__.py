"""Provenance of weights, and the terms of use that follow from it."""
