"""Arrow, on which reports and exports are built; only the extra `reports` installs it.

A module imports it from here, so that what needs a missing Arrow fails by name when it is first used.
"""

from vitrina.errors import ReportsNotInstalled

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ModuleNotFoundError as error:
    raise ReportsNotInstalled from error

__all__ = ["pa", "pc"]

# Arrow's own pool keeps 40 MB more, some of it for each thread, and is no faster.
pa.set_memory_pool(pa.system_memory_pool())
