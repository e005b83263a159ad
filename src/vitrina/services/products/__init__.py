"""Products and the cache of anonymous product reads (R5 to R8, R10)."""
