"""Where the faces of an image are."""
