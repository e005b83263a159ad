"""View events: how they are recorded and unpacked (R11)."""
