"""The folder in which the demo keeps its data, claimed by one demo at a time."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from vitrina.cli.running import CommandFailed


@contextmanager
def claimed(data: Path, engine: str, *, port: int, fresh: bool) -> Iterator[Path]:
    """Claim the data of an engine for this process, and yield their folder; `fresh` deletes what is in it.

    A demo that is killed leaves a folder without `seeded` if it had not written all demo data; that is deleted too.
    Raises CommandFailed when another demo has claimed the folder, or when it cannot be written.
    """
    state = data / engine
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / f"{engine}.lock").open("a+")
    except OSError as error:
        raise _unwritable(data, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandFailed(f"the data folder {data} is in use{_by(lock)}: stop it, or use --data") from error
        try:
            lock.truncate(0)
            lock.write(json.dumps({"pid": os.getpid(), "port": port}))
            lock.flush()
            if state.exists() and (fresh or not (state / "seeded").exists()):
                shutil.rmtree(state)
            state.mkdir(exist_ok=True)
            tempfile.TemporaryFile(dir=state).close()
        except OSError as error:
            raise _unwritable(data, error) from error
        yield state


def _by(lock: TextIO) -> str:
    """Say who has the lock; nothing while its owner is still writing that."""
    lock.seek(0)
    try:
        owner = json.load(lock)
    except ValueError:
        return ""
    return f" by the demo on port {owner['port']} (process {owner['pid']})"


def _unwritable(data: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"the data folder {data} cannot be written ({error.strerror}): use --data")
