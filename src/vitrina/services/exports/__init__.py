"""Exports: the history of views (R13), one row per event in three formats, and the catalogue."""
