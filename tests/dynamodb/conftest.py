"""The table of these tests is that of the store's tests."""

from tests.store.conftest import clients, settings, table

__all__ = ["clients", "settings", "table"]
