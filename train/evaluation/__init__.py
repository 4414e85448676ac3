"""What a model is worth: figures, their tables, the card and the report."""
