"""Exports into a folder: one file per day, and a manifest of the days that are complete.

A file gets its name once it is on the disk, and its entry in the manifest after that. If the process is killed, a day
is therefore present as a whole or not at all, and the next run exports the days that are missing.
"""

import asyncio
import fcntl
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, Final, Self

import orjson

from vitrina.domain.reports import is_closed
from vitrina.files import whole_file
from vitrina.services.exports.formats import Format, new_encoder
from vitrina.services.exports.stream import Exporter

MANIFEST: Final = "_manifest.json"
"""Readers of Parquet folders ignore names that begin with an underscore or a dot."""
_CACHE_BYTES: Final = 8 << 20
"""Bytes written between two hints to the system to drop the file from its cache."""


class DirectoryRefused(Exception):
    """The folder holds something else, another export is writing to it, or it cannot be written."""


class DayShrunk(Exception):
    """A day has fewer events than its file: some have expired, or the source is an older state of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A day in the manifest: `closed` if its events cannot change any more; `file` is None if it has no events."""

    rows: int
    bytes: int
    sha256: str | None
    file: str | None
    closed: bool


class Directory:
    """The folder of an export in one format, to which more days can be added later; use `open`."""

    def __init__(self, path: Path, form: Format, days: dict[str, Partition]) -> None:
        self.path = path
        self.form = form
        self._days = days
        self._unsaved = False

    @classmethod
    @contextmanager
    def open(cls, path: Path, form: Format) -> Iterator[Self]:
        """Create the folder if it does not exist, lock it, and delete the temporary files of a killed export.

        Raises DirectoryRefused.
        """
        with _as_refusal(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDONLY)
        try:
            with _as_refusal(path):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise DirectoryRefused(f"another export is writing into {path}") from error
                days = _read_manifest(path / MANIFEST, form)
                for left in path.glob(f"day=*/.views.{form}*"):
                    left.unlink()
            directory = cls(path, form, days)
            try:
                yield directory
            finally:
                with _as_refusal(path):
                    directory.save()
        finally:
            os.close(lock)

    def has(self, day: date) -> bool:
        """Whether a day was closed when it was exported and its file is unchanged since; reads the file."""
        partition = self._days.get(day.isoformat())
        if partition is None or not partition.closed:
            return False
        if partition.file is None:
            return not self._file(day).exists()
        try:
            with (self.path / partition.file).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == partition.sha256
        except (FileNotFoundError, IsADirectoryError):
            return False

    @contextmanager
    def writing(self, day: date, *, closed: bool) -> Iterator["PartitionWriter"]:
        """Write a day's file, which appears in the folder and the manifest if the block ends without an exception.

        Raises DirectoryRefused, and DayShrunk, which leaves the existing file as it is.
        """
        file = self._file(day)
        before = self._days.get(day.isoformat())
        with _as_refusal(file):
            file.parent.mkdir(exist_ok=True)
            try:
                with whole_file(file) as opened:
                    writer = PartitionWriter(opened)
                    yield writer
                    if before and writer.rows < before.rows and file.exists():
                        raise DayShrunk
                if not writer.rows:
                    file.unlink()
            finally:
                with suppress(OSError):  # The folder is not empty.
                    file.parent.rmdir()
            self._days[day.isoformat()] = Partition(
                rows=writer.rows,
                bytes=writer.bytes if writer.rows else 0,
                sha256=writer.sha256 if writer.rows else None,
                file=str(file.relative_to(self.path)) if writer.rows else None,
                closed=closed,
            )
            self._unsaved = True
            if writer.rows:  # Days without events are many and quick to read again.
                _sync(file.parent)
                self.save()

    def _file(self, day: date) -> Path:
        return self.path / f"day={day}" / f"views.{self.form}"

    def save(self) -> None:
        """Write the manifest if it has changed."""
        if not self._unsaved:
            return
        days = {day: asdict(partition) for day, partition in sorted(self._days.items())}
        content = orjson.dumps({"version": 1, "format": self.form, "days": days}, option=orjson.OPT_INDENT_2)
        with whole_file(self.path / MANIFEST) as file:
            file.write(content + b"\n")
        _sync(self.path)
        self._unsaved = False


async def export_days(
    directory: Directory, exporter: Exporter, days: Iterable[date], *, at: datetime | None
) -> list[date]:
    """Export each day into its file; returns the days that keep their old file because they have fewer events now.

    `at` is the time of the source's state. A day that was not closed then, or any day if `at` is None, is exported
    again by the next run. Raises DirectoryRefused, and what reading raises.
    """
    kept = []
    async with aclosing(exporter.days(days)) as opened:
        async for day in opened:
            encoder = new_encoder(directory.form, partitioned=True)
            closed = at is not None and is_closed(day.day, at)
            try:
                with directory.writing(day.day, closed=closed) as writer:
                    before = exporter.rows
                    async with aclosing(exporter.file(day, encoder)) as pieces:
                        async for piece in pieces:
                            await asyncio.to_thread(writer.write, piece)
                    writer.rows = exporter.rows - before
            except DayShrunk:
                kept.append(day.day)
    return kept


class PartitionWriter:
    """Writes a day's file and computes its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._cached = 0
        self.rows = 0
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """The digest of the bytes written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: memoryview) -> None:
        """Append to the file; blocks."""
        self._digest.update(data)
        self.bytes += len(data)
        self._cached += len(data)
        self._file.write(data)
        if self._cached >= _CACHE_BYTES:
            self._cached = 0
            if sys.platform == "linux":  # Starts writing to disk, and frees the cache of what is on disk already.
                os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _as_refusal(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DirectoryRefused(f"{path} cannot be written: {error.strerror}") from error


def _read_manifest(path: Path, form: Format) -> dict[str, Partition]:
    try:
        manifest: Any = orjson.loads(path.read_bytes())
        exported_as = manifest["format"]
        days = {day: Partition(**partition) for day, partition in manifest["days"].items()}
    except FileNotFoundError:
        return {}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DirectoryRefused(f"{path} is not the manifest of an export: take another folder") from error
    if exported_as != form:
        raise DirectoryRefused(f"{path.parent} holds an export as {exported_as}: take another folder for {form}")
    return days


def _sync(folder: Path) -> None:
    """Flush the folder itself to disk, so that a new name survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
