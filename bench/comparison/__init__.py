"""Load on several systems in turn, and what each of them takes for it."""
