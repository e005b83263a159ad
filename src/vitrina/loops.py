"""The event loop of every process: uvloop's, where there is one."""

import sys

if sys.platform == "win32":  # pragma: no cover - uvloop does not exist for it
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

__all__ = ["new_event_loop"]
