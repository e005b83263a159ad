"""Versioned changes of the table's items, as Alembic's for SQL databases (R16).

A migration is a module `m<number>_<name>.py` with a `NAME` and `async run(table, ledger)`, and a row in `runner.py`. It
must be idempotent, interruptible at any point and safe while the service is running: it writes an item only if it
differs, and under a condition on the version that it has read.
"""
