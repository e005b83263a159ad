"""Files that are there whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Write `path` through a temporary file beside it, which takes its name when the block ends without an exception.

    Readers see the old file or the new one. `durable` waits until the disk has it. The file's mode is what the umask
    leaves. Raises OSError when it cannot be written; nothing is left behind then. A killed process leaves the
    temporary file, whose name begins with a dot and `path.name`.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
