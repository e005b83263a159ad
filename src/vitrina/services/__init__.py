"""Use cases: what people and processes ask of the catalogue."""
