"""From encoded bytes to an upright image, and to crops of faces."""
