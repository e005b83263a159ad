"""Imports products from files: parse, compare with the catalogue, then write by the same rules as requests."""
