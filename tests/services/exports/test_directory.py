"""A day is in the folder as a whole or not at all, and is exported once (R13)."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from tests.services.exports.history import DAY, LAMP, History
from vitrina.domain.views import PackedViews, View, midnight_ms
from vitrina.ids import new_id
from vitrina.services.exports.directory import MANIFEST, Directory, DirectoryRefused, PartitionWriter, export_days
from vitrina.services.exports.formats import Format
from vitrina.services.exports.source import Day
from vitrina.services.exports.stream import Exporter, Progress, Report
from vitrina.store.views import Segment

NEXT = DAY + timedelta(days=1)
OPEN = DAY + timedelta(days=2)
AT = datetime(OPEN.year, OPEN.month, OPEN.day, 12, tzinfo=UTC)
DAYS = (DAY, NEXT, OPEN)


def history() -> History:
    """Return views of the first and the third of three days, of which the third is still open."""
    return History(
        [View(LAMP, midnight_ms(day) + n, bytes(12), None, bot=False) for day in (DAY, OPEN) for n in range(5)]
    )


def export(
    folder: Path,
    source: History,
    form: Format = Format.JSONL,
    *,
    at: datetime | None = AT,
    report: Report = lambda _: None,
) -> list[date]:
    """Export the missing days; returns the days that kept their old file."""

    async def run() -> list[date]:
        with Directory.open(folder, form) as directory, Exporter(source, report=report) as exporter:
            return await export_days(directory, exporter, [day for day in DAYS if not directory.has(day)], at=at)

    return asyncio.run(run())


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_closed_days_are_exported_once_and_the_open_one_again(tmp_path: Path) -> None:
    """A day without views has no file, but an entry in the manifest."""
    folder = tmp_path / "new" / "folder"
    reported: list[Progress] = []
    export(folder, history(), report=reported.append)
    assert files(folder) == [MANIFEST, f"day={DAY}/views.jsonl", f"day={OPEN}/views.jsonl"]
    assert reported[-1] == Progress(days=3, rows=10)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    assert manifest["format"] == "jsonl"
    assert [(day["rows"], day["closed"]) for day in manifest["days"].values()] == [(5, True), (0, True), (5, False)]
    assert manifest["days"][f"{DAY}"]["bytes"] == (folder / f"day={DAY}/views.jsonl").stat().st_size
    again = history()
    export(folder, again)
    assert again.opened == [OPEN]


@pytest.mark.skipif(sys.platform != "linux", reason="posix_fadvise is used on Linux only")
def test_a_large_file_leaves_the_cache_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fadvise = os.posix_fadvise

    def advised(descriptor: int, start: int, length: int, advice: int) -> None:
        assert (start, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        fadvise(descriptor, start, length, advice)
        sizes.append(os.fstat(descriptor).st_size)

    source = history()
    export(tmp_path / "at once", source)
    monkeypatch.setattr("vitrina.services.exports.directory._CACHE_BYTES", 10)
    monkeypatch.setattr(os, "posix_fadvise", advised)
    with (tmp_path / "file").open("wb", buffering=0) as file:
        writer = PartitionWriter(file)
        for _ in range(5):
            writer.write(memoryview(b"123456"))
    assert sizes == [12, 24]
    export(tmp_path / "in parts", source)
    assert len(sizes) > 2
    name = f"day={DAY}/views.jsonl"
    assert (tmp_path / "in parts" / name).read_bytes() == (tmp_path / "at once" / name).read_bytes()


def test_progress_never_goes_back() -> None:
    """Mixed segments of the whole day follow those of a shard."""

    def segment(hour: int) -> Segment:
        time = f"{midnight_ms(DAY) + hour * 3_600_000:012x}"
        return Segment(f"{time[:8]}-{time[8:]}-{new_id()[14:]}", PackedViews(events=b"", referrers=[]))

    async def pages(*hours: int) -> AsyncIterator[list[Segment]]:
        for _ in ("of the shard", "mixed"):
            yield [segment(hour) for hour in hours]

    async def read() -> list[float]:
        day = Day(DAY, [pages(1, 9, 23), pages(5, 12)], free=asyncio.Semaphore(2))
        return [day.passed async for _ in day.segments()]

    reported = asyncio.run(read())
    assert reported == sorted(reported)
    assert 0 < reported[-1] <= 1


def test_a_changed_or_missing_file_is_exported_again(tmp_path: Path) -> None:
    source = history()
    export(tmp_path, source)
    file = tmp_path / f"day={DAY}" / "views.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    export(tmp_path, source)
    assert file.read_bytes() == whole
    file.unlink()
    export(tmp_path, source)
    assert file.read_bytes() == whole


def test_a_day_that_has_lost_views_keeps_its_file(tmp_path: Path) -> None:
    """They may have expired, so that the file is all that is left of them."""
    assert export(tmp_path, history()) == []
    before = (tmp_path / MANIFEST).read_bytes()
    for left in (History([]), History([View(LAMP, midnight_ms(OPEN), bytes(12), None, bot=False)])):
        assert export(tmp_path, left) == [OPEN]
        assert files(tmp_path) == [MANIFEST, f"day={DAY}/views.jsonl", f"day={OPEN}/views.jsonl"]
        assert (tmp_path / MANIFEST).read_bytes() == before
    (tmp_path / f"day={OPEN}" / "views.jsonl").unlink()
    assert export(tmp_path, left) == []
    assert json.loads((tmp_path / MANIFEST).read_bytes())["days"][f"{OPEN}"]["rows"] == 1


def test_no_day_is_closed_if_the_time_of_the_source_is_not_known(tmp_path: Path) -> None:
    """The next run exports all of them again."""
    export(tmp_path, history(), at=None)
    again = history()
    export(tmp_path, again)
    assert again.opened == list(DAYS)


def test_days_without_views_are_in_the_manifest_even_if_the_export_fails(tmp_path: Path) -> None:
    """They are saved at the end: saving each one would take longer than reading it."""
    source = History([])

    class Interrupted(History):
        def open(self, day: date) -> Day:
            if day == OPEN:
                return Day(day, [self._failing()], free=asyncio.Semaphore(1))
            return super().open(day)

        async def _failing(self) -> AsyncIterator[list[Segment]]:
            yield []
            raise KeyError("interrupted")

    with pytest.raises(KeyError):
        export(tmp_path, Interrupted([]))
    export(tmp_path, source)
    assert source.opened == [OPEN]


def test_one_folder_holds_one_format_and_one_export_at_a_time(tmp_path: Path) -> None:
    export(tmp_path, history())
    with pytest.raises(DirectoryRefused, match="holds an export as jsonl"):
        export(tmp_path, history(), Format.CSV)
    with Directory.open(tmp_path, Format.JSONL), pytest.raises(DirectoryRefused, match="another export"):
        export(tmp_path, history())
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(DirectoryRefused, match="not the manifest"):
        export(tmp_path, history())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryRefused, match="cannot be written"):
        export(tmp_path / "file", history())


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(PartitionWriter, "write", full)
        with pytest.raises(DirectoryRefused, match="No space left on device"):
            export(tmp_path, history())
    assert files(tmp_path) == []
    export(tmp_path, history())
    assert len(files(tmp_path)) == 3


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.services.exports.test_directory import export, history
from vitrina.services.exports.directory import PartitionWriter
write = PartitionWriter.write
def die(self, data):
    write(self, data[: len(data) // 2])
    if self.bytes and "2026-11-22" in str(self._file.name):
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, data[len(data) // 2 :])
PartitionWriter.write = die
export(Path(sys.argv[1]), history())
"""


def test_a_kill_loses_the_day_under_way_and_no_other(tmp_path: Path) -> None:
    """The next run deletes the temporary file and exports the missing days; one without views is read again."""
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, tmp_path], check=False, env={**os.environ, "PYTHONPATH": "src:."}
    )
    assert killed.returncode == -signal.SIGKILL
    *whole, temporary = files(tmp_path)
    assert whole == [MANIFEST, f"day={DAY}/views.jsonl"]
    assert temporary.startswith(f"day={OPEN}/.views.jsonl.")
    source = history()
    export(tmp_path, source)
    assert source.opened == [NEXT, OPEN]
    assert files(tmp_path) == [MANIFEST, f"day={DAY}/views.jsonl", f"day={OPEN}/views.jsonl"]
