"""Fixtures of the notification tests: a table of their own."""

from tests.store.conftest import clients, settings, table

__all__ = ["clients", "settings", "table"]
