"""Exports of the history of views (R13): one row an event, in three formats, to files or as a stream."""
