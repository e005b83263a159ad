"""Exports of views as a dataset: one file per day, and beside the dataset a manifest of the days that are complete.

    views/day=2026-11-20/views.parquet
    views.manifest.json

A file gets its name once it is whole, and its entry in the manifest after that. If the process is killed, a day is
therefore present as a whole or not at all, and the next run exports the days that are missing. A day that has got views
since its export is missing too: it is of another generation (`ViewSource.generations`).
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any, Final, Protocol, Self

import orjson

from vitrina.domain.reports import GRACE, Format, is_closed
from vitrina.files import FilesRefused
from vitrina.ids import time_ms
from vitrina.services.exports.formats import new_encoder
from vitrina.services.exports.source import Day
from vitrina.services.exports.stream import Exporter

VIEWS: Final = "views"
_LAYOUT: Final = 2
_FIRST_MANIFEST: Final = "_manifest.json"
"""The manifest of version 0.1, whose days were beside it and whose columns had other names."""


class NewFile(Protocol):
    """A file that is being written."""

    @property
    def tag(self) -> str | None:
        """What names the content of the complete file, if the place has such a thing: S3's ETag."""

    async def write(self, data: memoryview) -> None:
        """Append to the file."""


class Place(Protocol):
    """Where an export is written: `vitrina.files.Folder` or `vitrina.s3.Bucket`. The methods raise FilesRefused."""

    async def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""

    async def write(self, name: str, content: bytes) -> None:
        """Write a small file as a whole."""

    def writing(self, name: str) -> AbstractAsyncContextManager[NewFile]:
        """Write a file, which appears if the block ends without an exception."""

    async def delete(self, name: str) -> None:
        """Delete a file if it exists."""

    async def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    async def holds(self, name: str, *, sha256: str, tag: str | None) -> bool:
        """Whether a file is unchanged since it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A day in the manifest; `file` is None if it has no events.

    `closed` means that its events change no more, unless views are stored late, which gives the day a new `generation`.
    """

    rows: int
    bytes: int
    sha256: str | None
    tag: str | None
    file: str | None
    closed: bool
    generation: str | None = None


class _NoEvents(Exception):
    """The day has no events, so it has no file."""


class _FewerEvents(Exception):
    """The day has fewer events than its file: some have expired, or the source is an older state of the table."""


class Dataset:
    """The views at a place in one format, to which more days can be added later; use `open`."""

    def __init__(self, place: Place, form: Format, days: dict[str, Partition]) -> None:
        self.form = form
        self._place = place
        self._days = days
        self._unsaved = False

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place, form: Format) -> AsyncIterator[Self]:
        """Read the manifest, and save it at the end. Raises FilesRefused."""
        try:
            manifest = await read_manifest(place, VIEWS, form)
            days = {day: Partition(**partition) for day, partition in manifest.get("days", {}).items()}
        except (TypeError, AttributeError) as error:
            raise _not_a_manifest(place, VIEWS) from error
        dataset = cls(place, form, days)
        try:
            yield dataset
        finally:
            await dataset._save()

    def is_closed(self, day: date, *, generation: str | None) -> bool:
        """Whether a day was closed when it was exported, and is still of that generation; None: it is not known."""
        partition = self._days.get(day.isoformat())
        return partition is not None and partition.closed and generation in {None, partition.generation}

    async def has(self, day: date, *, generation: str | None) -> bool:
        """Whether a day is closed (`is_closed`) and its file is unchanged since. Raises FilesRefused."""
        partition = self._days.get(day.isoformat())
        if partition is None or not self.is_closed(day, generation=generation):
            return False
        if partition.file is None or partition.sha256 is None:
            return not await self._place.exists(self._file(day))
        return await self._place.holds(partition.file, sha256=partition.sha256, tag=partition.tag)

    async def export(
        self, exporter: Exporter, days: Iterable[date], *, at: datetime | None, generations: Mapping[date, str]
    ) -> list[date]:
        """Export each day into its file; returns the days that keep their old file because they have fewer events now.

        `at` is the time of the source's state, and `generations` are those of its days. The next run exports again the
        days that were not closed then, all days if `at` is None, and those that got views late in the hour before, but
        no day that keeps its file. Raises FilesRefused, and what reading raises.
        """
        kept = []
        async with aclosing(exporter.days(days)) as opened:
            async for day in opened:
                generation = generations.get(day.day)
                closed = at is not None and is_closed(day.day, at) and _is_settled(generation, at)
                if not await self._write(exporter, day, closed=closed, generation=generation):
                    kept.append(day.day)
        return kept

    async def _write(self, exporter: Exporter, day: Day, *, closed: bool, generation: str | None) -> bool:
        """Write the file of a day; returns whether it is new."""
        name, key = self._file(day.day), day.day.isoformat()
        try:
            partition = await self._write_file(exporter, day, name, closed=closed, generation=generation)
        except _NoEvents:
            await self._place.delete(name)
            partition = Partition(
                rows=0, bytes=0, sha256=None, tag=None, file=None, closed=closed, generation=generation
            )
        except _FewerEvents:
            before = self._days[key]
            self._days[key] = replace(
                before, closed=before.closed or closed, generation=generation or before.generation
            )
            self._unsaved = True
            return False
        self._days[key] = partition
        self._unsaved = True
        if partition.rows:  # Days without events are many and quick to read again.
            await self._save()
        return True

    async def _write_file(
        self, exporter: Exporter, day: Day, name: str, *, closed: bool, generation: str | None
    ) -> Partition:
        before, rows = self._days.get(day.day.isoformat()), exporter.rows
        async with self._place.writing(name) as file:
            size, sha256 = await copy(exporter.file(day, new_encoder(self.form, partitioned=True)), file)
            rows = exporter.rows - rows
            if before and rows < before.rows and await self._place.exists(name):
                raise _FewerEvents
            if not rows:
                raise _NoEvents
        return Partition(
            rows=rows, bytes=size, sha256=sha256, tag=file.tag, file=name, closed=closed, generation=generation
        )

    def _file(self, day: date) -> str:
        return f"{VIEWS}/day={day}/{VIEWS}.{self.form}"

    async def _save(self) -> None:
        """Write the manifest if it has changed."""
        if self._unsaved:
            days = {day: asdict(partition) for day, partition in sorted(self._days.items())}
            await write_manifest(self._place, VIEWS, {"format": self.form, "days": days})
            self._unsaved = False


def _is_settled(generation: str | None, at: datetime) -> bool:
    """Whether all late views of a generation are stored: its id is made before them, and by another clock."""
    return generation is None or time_ms(generation) < (at - GRACE).timestamp() * 1000


async def copy(pieces: AsyncGenerator[memoryview, None], file: NewFile) -> tuple[int, str]:
    """Write pieces to a file; returns its size and its SHA-256 in hexadecimal. Closes the iterator."""
    size, digest = 0, hashlib.sha256()
    async with aclosing(pieces):
        async for piece in pieces:
            size += len(piece)
            await asyncio.to_thread(digest.update, piece)
            await file.write(piece)
    return size, digest.hexdigest()


async def write_manifest(place: Place, dataset: str, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a dataset beside it. Raises FilesRefused."""
    content = orjson.dumps({"version": _LAYOUT, **manifest}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    await place.write(_manifest(dataset), content)


async def read_manifest(place: Place, dataset: str, form: Format) -> dict[str, Any]:
    """Return the manifest of a dataset, empty if there is none. Raises FilesRefused if it is of another format."""
    if await place.exists(_FIRST_MANIFEST):
        raise FilesRefused(
            f"{place} holds an export of Vitrina 0.1, whose columns have other names: export to another place, "
            f"or delete its folders day=… and {_FIRST_MANIFEST} first"
        )
    content = await place.read(_manifest(dataset))
    if content is None:
        return {}
    try:
        manifest: dict[str, Any] = orjson.loads(content)
        layout, exported_as = manifest["version"], manifest["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise _not_a_manifest(place, dataset) from error
    if layout != _LAYOUT:
        raise FilesRefused(f"{place} holds an export in layout {layout}, not {_LAYOUT}: export to another place")
    if exported_as != form:
        raise FilesRefused(f"{place} holds an export as {exported_as}: export {form} to another place")
    return manifest


def _manifest(dataset: str) -> str:
    return f"{dataset}.manifest.json"


def _not_a_manifest(place: Place, dataset: str) -> FilesRefused:
    return FilesRefused(f"{place}/{_manifest(dataset)} is not the manifest of an export: export to another place")
