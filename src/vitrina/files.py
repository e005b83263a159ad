"""Files that are there whole or not at all."""

import asyncio
import fcntl
import hashlib
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Self

_CACHE_BYTES: Final = 8 << 20
"""Bytes written between two hints to the system to drop the file from its cache."""


class FilesRefused(Exception):
    """A folder or a bucket cannot be read or written, or another process uses it; the message is a sentence."""


@contextmanager
def whole_file(path: Path, *, durable: bool = True, drafts: Path | None = None) -> Iterator[IO[bytes]]:
    """Write `path` through a temporary file, which takes its name when the block ends without an exception.

    Readers see the old file or the new one. `durable` waits until the disk has it. The file's mode is what the umask
    leaves. Raises OSError when it cannot be written; nothing is left behind then. A killed process leaves the
    temporary file, whose name begins with a dot and `path.name`; it is in `drafts`, by default beside `path`.
    """
    draft = (drafts or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
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


class NewFile:
    """A file that is being written."""

    tag = None
    """Only files in S3 have one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._cached = 0

    async def write(self, data: memoryview) -> None:
        """Append to the file."""
        await asyncio.to_thread(self._write, data)

    def _write(self, data: memoryview) -> None:
        self._cached += len(data)
        self._file.write(data)
        if self._cached >= _CACHE_BYTES:
            self._cached = 0
            if sys.platform == "linux":  # Starts writing to disk, and frees the cache of what is on disk already.
                os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Folder:
    """The files of a dataset under `path`: a `Place` of an export on this machine. Use `open`."""

    def __init__(self, path: Path, dataset: str) -> None:
        self._path = path
        self._dataset = path / dataset

    def __str__(self) -> str:
        return str(self._path)

    @classmethod
    @contextmanager
    def open(cls, path: Path, dataset: str) -> Iterator[Self]:
        """Create `path/dataset`, lock it, and delete what a killed process has left. Raises FilesRefused."""
        folder = cls(path, dataset)
        with _as_refusal(path):
            folder._dataset.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder._dataset, os.O_RDONLY)
        try:
            with _as_refusal(path):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise FilesRefused(f"another export is writing into {folder._dataset}") from error
                for draft in path.glob(f".{dataset}.*"):
                    draft.unlink()
            yield folder
        finally:
            os.close(lock)

    async def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""

        def read() -> bytes | None:
            try:
                return (self._path / name).read_bytes()
            except FileNotFoundError:
                return None

        with _as_refusal(self._path / name):
            return await asyncio.to_thread(read)

    async def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        async with self.writing(name) as file:
            await file.write(memoryview(content))

    @asynccontextmanager
    async def writing(self, name: str) -> AsyncIterator[NewFile]:
        """Write a file, which gets its name if the block ends without an exception."""
        path = self._path / name
        # Drafts are outside the dataset: its readers take every file in it for one of theirs.
        with _as_refusal(path), ExitStack() as draft:
            file = await asyncio.to_thread(draft.enter_context, whole_file(path, drafts=self._path))
            try:
                yield NewFile(file)
                path.parent.mkdir(exist_ok=True)
                await asyncio.to_thread(draft.close)
            except BaseException:
                self._remove_empty(path.parent)
                raise
            await asyncio.to_thread(_sync, path.parent, self._dataset)

    async def delete(self, name: str) -> None:
        """Delete a file if it exists, and its folder if that was the only one."""
        path = self._path / name
        with _as_refusal(path):
            path.unlink(missing_ok=True)
            self._remove_empty(path.parent)

    async def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self._path / name).is_file()

    async def holds(self, name: str, *, sha256: str, tag: str | None) -> bool:  # noqa: ARG002 - S3 compares tags
        """Whether a file has this content; reads it."""

        def digest() -> str:
            with (self._path / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        try:
            return await asyncio.to_thread(digest) == sha256
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False

    def _remove_empty(self, folder: Path) -> None:
        if folder not in {self._path, self._dataset}:
            with suppress(OSError):  # It is not empty, or not there.
                folder.rmdir()


@contextmanager
def _as_refusal(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FilesRefused(f"{path} cannot be written: {error.strerror}") from error


def _sync(*folders: Path) -> None:
    """Flush folders themselves to disk, so that a new name survives a power failure."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
