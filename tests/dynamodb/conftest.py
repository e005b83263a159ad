"""These tests use the same table fixtures as the store's tests."""

from tests.store.conftest import clients, settings, table

__all__ = ["clients", "settings", "table"]
