"""Recording of view events (R11)."""
