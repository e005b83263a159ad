"""Versioned changes of what the table holds: the job that Alembic does for SQL (R16).

A migration is a module `m<number>_<name>.py` with a `NAME` and `async run(table, ledger)`, and a row in `runner.py`. It
is written so that it may be run twice, stop anywhere and meet the service at work: it changes an item only under a
condition on the version that it read, and nothing where nothing differs.
"""
