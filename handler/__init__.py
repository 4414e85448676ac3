"""From images to what models predict: the serving half, everything that goes into a .mar."""
