"""From images to faces with ages: the serving half, everything that goes into a .mar."""
