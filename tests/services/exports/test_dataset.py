"""A day is at its place as a whole or not at all, and is exported once (R13), in a folder and in S3."""

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
from tests.services.exports.places import BucketOut, FolderOut, Out
from vitrina import s3
from vitrina.bootstrap import open_place
from vitrina.config import Settings
from vitrina.domain.reports import Format, Period
from vitrina.domain.views import PackedViews, View, midnight_ms
from vitrina.files import FilesRefused, Folder, NewFile
from vitrina.ids import new_id
from vitrina.services.exports.dataset import VIEWS, Dataset
from vitrina.services.exports.source import Day
from vitrina.services.exports.stream import Exporter, Progress, Report
from vitrina.store.views import Segment

NEXT = DAY + timedelta(days=1)
OPEN = DAY + timedelta(days=2)
AT = datetime(OPEN.year, OPEN.month, OPEN.day, 12, tzinfo=UTC)
DAYS = (DAY, NEXT, OPEN)
MANIFEST = "views.manifest.json"
FILES = [MANIFEST, f"views/day={DAY}/views.jsonl", f"views/day={OPEN}/views.jsonl"]


def history() -> History:
    """Return views of the first and the third of three days, of which the third is still open."""
    return History(
        [View(LAMP, midnight_ms(day) + n, bytes(12), None, bot=False) for day in (DAY, OPEN) for n in range(5)]
    )


def export(
    place: str,
    source: History,
    form: Format = Format.JSONL,
    *,
    settings: Settings | None = None,
    at: datetime | None = AT,
    report: Report = lambda _: None,
) -> list[date]:
    """Export the missing days; returns the days that kept their old file."""

    async def run() -> list[date]:
        async with open_place(settings or Settings(), place, VIEWS) as opened, Dataset.open(opened, form) as dataset:
            generations = await source.generations(Period(DAY, OPEN))
            missing = [day for day in DAYS if not await dataset.has(day, generation=generations.get(day))]
            with Exporter(source, report=report) as exporter:
                return await dataset.export(exporter, missing, at=at, generations=generations)

    return asyncio.run(run())


def to(out: Out, source: History, form: Format = Format.JSONL, *, at: datetime | None = AT) -> list[date]:
    """Export the missing days to a place."""
    return export(out.name, source, form, settings=out.settings, at=at)


def test_closed_days_are_exported_once_and_the_open_one_again(out: Out) -> None:
    """A day without views has no file, but an entry in the manifest, which is beside the dataset."""
    reported: list[Progress] = []
    export(out.name, history(), settings=out.settings, report=reported.append)
    files = out.files()
    assert sorted(files) == FILES
    assert reported[-1] == Progress(days=3, rows=10)
    manifest = json.loads(files[MANIFEST])
    assert (manifest["version"], manifest["format"]) == (2, "jsonl")
    assert [(day["rows"], day["closed"]) for day in manifest["days"].values()] == [(5, True), (0, True), (5, False)]
    assert manifest["days"][f"{DAY}"]["bytes"] == len(files[FILES[1]])
    again = history()
    to(out, again)
    assert again.opened == [OPEN]


@pytest.mark.skipif(sys.platform != "linux", reason="posix_fadvise is used on Linux only")
def test_a_large_file_leaves_the_cache_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fadvise = os.posix_fadvise

    def advised(descriptor: int, start: int, length: int, advice: int) -> None:
        assert (start, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        fadvise(descriptor, start, length, advice)
        sizes.append(os.fstat(descriptor).st_size)

    async def write() -> None:
        with (tmp_path / "file").open("wb", buffering=0) as opened:
            file = NewFile(opened)
            for _ in range(5):
                await file.write(memoryview(b"123456"))

    source = history()
    export(str(tmp_path / "at once"), source)
    monkeypatch.setattr("vitrina.files._CACHE_BYTES", 10)
    monkeypatch.setattr(os, "posix_fadvise", advised)
    asyncio.run(write())
    assert sizes == [12, 24]
    export(str(tmp_path / "in parts"), source)
    assert len(sizes) > 2
    assert (tmp_path / "in parts" / FILES[1]).read_bytes() == (tmp_path / "at once" / FILES[1]).read_bytes()


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


def test_a_changed_or_missing_file_is_exported_again(out: Out) -> None:
    source = history()
    to(out, source)
    whole = out.files()[FILES[1]]
    out.put(FILES[1], whole[:-1])
    to(out, source)
    assert out.files()[FILES[1]] == whole
    out.remove(FILES[1])
    to(out, source)
    assert out.files()[FILES[1]] == whole


def test_a_file_of_a_day_without_views_is_removed(out: Out) -> None:
    """Nothing but what the manifest names is in the dataset."""
    to(out, history())
    out.put(f"views/day={NEXT}/views.jsonl", b"{}")
    to(out, history())
    assert sorted(out.files()) == FILES


def test_a_day_that_has_lost_views_keeps_its_file(out: Out) -> None:
    """They may have expired, so that the file is all that is left of them."""
    assert to(out, history()) == []
    before = out.files()
    for left in (History([]), History([View(LAMP, midnight_ms(OPEN), bytes(12), None, bot=False)])):
        assert to(out, left) == [OPEN]
        assert out.files() == before
    out.remove(FILES[2])
    assert to(out, left) == []
    assert json.loads(out.files()[MANIFEST])["days"][f"{OPEN}"]["rows"] == 1


def test_a_day_that_got_views_after_its_export_is_exported_again(out: Out) -> None:
    """By each run of the hour after. What has expired meanwhile is not looked for at each run."""

    def generation(*, minutes_ago: int) -> str:
        time = f"{int((AT - timedelta(minutes=minutes_ago)).timestamp() * 1000):012x}"
        return f"{time[:8]}-{time[8:]}-7{new_id()[15:]}"

    source = history()
    to(out, source)
    source.add([View(LAMP, midnight_ms(DAY) + n, bytes(12), None, bot=False) for n in range(3)])
    early, late = generation(minutes_ago=90), generation(minutes_ago=30)
    for present, opened in ((late, [DAY, OPEN]), (late, [DAY, OPEN]), (early, [DAY, OPEN]), (early, [OPEN])):
        source.late[DAY], source.opened = present, []
        to(out, source)
        assert source.opened == opened
        assert json.loads(out.files()[MANIFEST])["days"][f"{DAY}"]["rows"] == 8
    expired = History([View(LAMP, midnight_ms(OPEN) + n, bytes(12), None, bot=False) for n in range(5)])
    expired.late[DAY] = generation(minutes_ago=80)
    assert [to(out, expired), to(out, expired)] == [[DAY], []]


def test_no_day_is_closed_if_the_time_of_the_source_is_not_known(tmp_path: Path) -> None:
    """The next run exports all of them again."""
    export(str(tmp_path), history(), at=None)
    again = history()
    export(str(tmp_path), again)
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
        export(str(tmp_path), Interrupted([]))
    export(str(tmp_path), source)
    assert source.opened == [OPEN]


def test_a_place_holds_one_format_and_one_layout(out: Out) -> None:
    to(out, history())
    with pytest.raises(FilesRefused, match="holds an export as jsonl: export csv to another place"):
        to(out, history(), Format.CSV)
    for content, said in [
        (b"[]", "is not the manifest of an export"),
        (b'{"version": 2, "format": "jsonl", "days": {"2026-11-20": {"rows": 1}}}', "is not the manifest"),
        (b'{"version": 3, "format": "jsonl"}', "holds an export in layout 3, not 2: export to another place"),
    ]:
        out.put(MANIFEST, content)
        with pytest.raises(FilesRefused, match=said):
            to(out, history())


def test_an_export_of_the_first_version_is_left_alone(out: Out) -> None:
    """Its columns have other names, so that one dataset cannot hold both."""
    before = {"_manifest.json": b'{"version": 1}', f"day={DAY}/views.parquet": b"PAR1"}
    for name, content in before.items():
        out.put(name, content)
    with pytest.raises(FilesRefused, match=r"export of Vitrina 0.1.* or delete its folders day=… and _manifest.json"):
        to(out, history())
    assert out.files() == before


def test_a_folder_takes_one_export_of_a_dataset_at_a_time(tmp_path: Path) -> None:
    """Views and prices may be written at the same time."""
    with Folder.open(tmp_path, "prices"):
        export(str(tmp_path), history())
    with Folder.open(tmp_path, VIEWS), pytest.raises(FilesRefused, match="another export"):
        export(str(tmp_path), history())


def test_of_two_exports_to_a_bucket_the_later_one_stops(moto: str) -> None:
    """It would write a manifest without the other's days."""
    out, source = BucketOut(moto), history()

    async def interfere() -> None:
        async with open_place(out.settings, out.name, VIEWS) as place, Dataset.open(place, Format.JSONL) as dataset:
            await asyncio.to_thread(to, out, source)
            with Exporter(source) as exporter:
                await dataset.export(exporter, DAYS, at=AT, generations={})

    with pytest.raises(FilesRefused, match="has been changed by another export"):
        asyncio.run(interfere())
    assert sorted(out.files()) == FILES
    again = history()
    to(out, again)
    assert again.opened == [OPEN]


def test_a_large_file_is_uploaded_in_parts(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds two parts, and the object is as if it had been written at once."""
    out, once = BucketOut(moto), BucketOut(moto)
    views = [View(LAMP, midnight_ms(DAY) + n, n.to_bytes(12), None, bot=False) for n in range(60_000)]
    source = History(views)
    to(once, source)
    monkeypatch.setattr(s3, "_PART", 5 << 20)  # The least that S3 takes.
    to(out, source)
    assert out.files()[FILES[1]] == once.files()[FILES[1]]
    assert len(out.files()[FILES[1]]) > 2 * s3._PART
    assert out.leftovers() == []
    head = out.client.head_object(Bucket=out.bucket, Key=f"exports/{FILES[1]}")
    assert head["ETag"].endswith('-3"')
    again = History(views)
    to(out, again)
    assert again.opened == [OPEN]


def test_a_failed_upload_leaves_nothing(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts that were sent are deleted, and an object that was there stays."""
    out = BucketOut(moto)
    out.put(FILES[1], b"old")
    monkeypatch.setattr(s3, "_PART", 100)
    sent = s3.Upload._sent

    async def fail(self: s3.Upload) -> None:
        await sent(self)
        if self._parts:
            raise KeyError("interrupted")

    monkeypatch.setattr(s3.Upload, "_sent", fail)
    with pytest.raises(KeyError):
        to(out, history())
    assert (out.files(), out.leftovers()) == ({FILES[1]: b"old"}, [])


def test_a_bucket_that_cannot_be_used_is_said_in_a_sentence(moto: str) -> None:
    settings = Settings(s3_endpoint=moto)
    with pytest.raises(FilesRefused, match=r"s3://no-such-bucket/x/views.*NoSuchBucket"):
        export("s3://no-such-bucket/x", history(), settings=settings)


def test_missing_credentials_are_said_in_a_sentence(moto: str, new_credentials: pytest.MonkeyPatch) -> None:
    new_credentials.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(FilesRefused, match=r"s3://a-bucket/views cannot be read or written: Unable to locate cred"):
        export("s3://a-bucket", history(), settings=Settings(s3_endpoint=moto))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FilesRefused, match="cannot be written"):
        export(str(tmp_path / "file"), history())


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = FolderOut(tmp_path)

    async def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(NewFile, "write", full)
        with pytest.raises(FilesRefused, match="No space left on device"):
            to(out, history())
    assert [*tmp_path.rglob("*")] == [tmp_path / "views"]
    to(out, history())
    assert sorted(out.files()) == FILES


_KILLED = """
import os, signal, sys
from tests.services.exports.test_dataset import export, history
from vitrina import s3
from vitrina.config import Settings
from vitrina.services.exports import dataset
copy, days = dataset.copy, []
async def die(pieces, file):
    days.append(file)
    if len(days) < 3:
        return await copy(pieces, file)
    s3._PART = 100
    async for piece in pieces:
        await file.write(piece)
    os.kill(os.getpid(), signal.SIGKILL)
dataset.copy = die
export(sys.argv[1], history(), settings=Settings(s3_endpoint=sys.argv[2] or None))
"""


def test_a_kill_loses_the_day_under_way_and_no_other(out: Out) -> None:
    """The dataset has whole files only, and the next run clears what was left and exports the missing days."""
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, out.name, out.settings.s3_endpoint or ""],
        check=False,
        env={**os.environ, "PYTHONPATH": "src:."},
    )
    assert killed.returncode == -signal.SIGKILL
    assert sorted(out.files()) == FILES[:2]
    (left,) = out.leftovers()
    assert "views.jsonl" in left
    source = history()
    to(out, source)
    assert source.opened == [NEXT, OPEN]
    assert sorted(out.files()) == FILES
    assert out.leftovers() == []
