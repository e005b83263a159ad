"""What one request uses of the table, counted where the calls are made and read where the request is logged."""

from contextvars import ContextVar


class Usage:
    """Calls to DynamoDB and the capacity units that they used."""

    __slots__ = ("calls", "read_units", "write_units")

    def __init__(self) -> None:
        self.calls = 0
        self.read_units = 0.0
        self.write_units = 0.0


_current: ContextVar[Usage | None] = ContextVar("usage", default=None)


def start() -> Usage:
    """Begin to count afresh in this context."""
    usage = Usage()
    _current.set(usage)
    return usage


def current() -> Usage | None:
    """Return the count under way, if any: work that many requests share (a flush of views) belongs to none."""
    return _current.get()
