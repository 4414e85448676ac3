"""How weights came to be, and under which terms."""
