"""What the tests of mail share: a table of their own, as the store's have it."""

from tests.store.conftest import clients, settings, table

__all__ = ["clients", "settings", "table"]
