"""DynamoDB calls and capacity units of one HTTP request: `store.calls` counts them, the access log reports them."""

from contextvars import ContextVar


class Usage:
    """Calls of DynamoDB and the capacity units that they consumed."""

    __slots__ = ("calls", "read_units", "write_units")

    def __init__(self) -> None:
        self.calls = 0
        self.read_units = 0.0
        self.write_units = 0.0


_current: ContextVar[Usage | None] = ContextVar("usage", default=None)


def start() -> Usage:
    """Start a new count in this context, and return it."""
    usage = Usage()
    _current.set(usage)
    return usage


def current() -> Usage | None:
    """Return the count of this context, None if there is none: shared work (a flush of views) belongs to no request."""
    return _current.get()
