"""An export into a folder: a file a day, and a manifest that knows which days are whole.

A file gets its name when it is on the disk, and its line in the manifest after that: whatever is killed when, a day is
there whole or not at all, and a second run makes what is missing.
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
from vitrina.services.exports.formats import Format, new_encoder
from vitrina.services.exports.stream import Exporter

MANIFEST: Final = "_manifest.json"
"""Readers of folders of Parquet pass over names that begin with an underscore or a dot."""
_CACHED: Final = 8 << 20
"""Bytes of a file after which the system is told that its cache need not keep them."""


class DirectoryRefused(Exception):
    """The folder holds something else, is being written by another export, or can't be written."""


class DayShrunk(Exception):
    """A day has fewer events than its file: some have expired since, or it is read from an older state of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A day as it was exported: `closed` if it can't have changed since; `file` is None for one without events."""

    rows: int
    bytes: int
    sha256: str | None
    file: str | None
    closed: bool


class Directory:
    """The folder of one export, of one format; further ranges of days can be added to it."""

    def __init__(self, path: Path, form: Format, days: dict[str, Partition]) -> None:
        """Take what the manifest says; see `open`."""
        self.path = path
        self.form = form
        self._days = days
        self._unsaved = False

    @classmethod
    @contextmanager
    def open(cls, path: Path, form: Format) -> Iterator[Self]:
        """Make the folder if need be, keep other exports out of it, and clear what a killed one left.

        Raises DirectoryRefused.
        """
        with _refusing(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDONLY)
        try:
            with _refusing(path):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise DirectoryRefused(f"another export is writing into {path}") from error
                days = _read_manifest(path / MANIFEST, form)
                for left in path.glob(f"day=*/.views.{form}"):
                    left.unlink()
            directory = cls(path, form, days)
            try:
                yield directory
            finally:
                with _refusing(path):
                    directory.save()
        finally:
            os.close(lock)

    def has(self, day: date) -> bool:
        """Say whether a day was closed when it was exported and its file still is as it was written; reads the file."""
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
        """Write a day's file: it is there, and in the manifest, once the block ends well.

        Raises DirectoryRefused, and DayShrunk, with which the file that is there stays.
        """
        file = self._file(day)
        before = self._days.get(day.isoformat())
        with _refusing(file):
            file.parent.mkdir(exist_ok=True)
            part = file.with_name(f".{file.name}")
            try:
                with part.open("wb", buffering=0) as opened:
                    writer = PartitionWriter(opened)
                    yield writer
                    if before and writer.rows < before.rows and file.exists():
                        raise DayShrunk
                    os.fsync(opened.fileno())
                if writer.rows:
                    part.replace(file)
                else:
                    file.unlink(missing_ok=True)
            finally:
                part.unlink(missing_ok=True)
                with suppress(OSError):  # There is something in it.
                    file.parent.rmdir()
            self._days[day.isoformat()] = Partition(
                rows=writer.rows,
                bytes=writer.bytes if writer.rows else 0,
                sha256=writer.sha256 if writer.rows else None,
                file=str(file.relative_to(self.path)) if writer.rows else None,
                closed=closed,
            )
            self._unsaved = True
            if writer.rows:  # Days without any are many, and are read again in no time.
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
        manifest = self.path / MANIFEST
        part = manifest.with_name(f".{MANIFEST}")
        with part.open("wb") as opened:
            opened.write(content + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(manifest)
        _sync(self.path)
        self._unsaved = False


async def fill(directory: Directory, exporter: Exporter, days: Iterable[date], *, at: datetime | None) -> list[date]:
    """Export days, each into its file, and return those whose file stayed since they have fewer events now.

    A day that is not closed `at` the time of what is read, or if that is not known, is made again by the next run.
    Raises DirectoryRefused, and what reading raises.
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
    """A day's file while it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        """Take the open file."""
        self._file = file
        self._digest = hashlib.sha256()
        self._cached = 0
        self.rows = 0
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """The digest of what has been written."""
        return self._digest.hexdigest()

    def write(self, data: memoryview) -> None:
        """Write some of the file; blocks."""
        self._digest.update(data)
        self.bytes += len(data)
        self._cached += len(data)
        while data:
            data = data[self._file.write(data) :]
        if self._cached >= _CACHED:
            self._cached = 0
            self._let_go()

    def _let_go(self) -> None:
        """Have what was written on its way to the disk, and the memory of what is there for what comes."""
        if sys.platform == "linux":
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DirectoryRefused(f"{path} can't be written: {error.strerror}") from error


def _read_manifest(path: Path, form: Format) -> dict[str, Partition]:
    try:
        manifest: Any = orjson.loads(path.read_bytes())
        was, days = manifest["format"], {day: Partition(**found) for day, found in manifest["days"].items()}
    except FileNotFoundError:
        return {}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DirectoryRefused(f"{path} is not the manifest of an export: take another folder") from error
    if was != form:
        raise DirectoryRefused(f"{path.parent} holds an export as {was}: take another folder for {form}")
    return days


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
