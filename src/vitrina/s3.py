"""Files in a bucket of S3, each there whole or not at all: an object appears when its upload is complete.

Parts go through aioboto3's client, which finds credentials like the clients of the table: environment, profile, or the
role of a Lambda function, a container or a machine. pyarrow's S3 file system cannot give up a file: an error within its
context publishes what has been written so far.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from vitrina.files import FilesRefused

SCHEME: Final = "s3://"
_PART: Final = 8 << 20
"""Bytes of a part: S3 takes 10,000 of them, 84 GB in all. Two are in memory, one of which is being sent."""
_MISSING: Final = frozenset({"404", "NoSuchKey"})
_CHANGED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


class Upload:
    """An object that is being written: in one request if it is small, otherwise in parts."""

    def __init__(self, client: Any, target: dict[str, str]) -> None:  # noqa: ANN401 - the stubs of S3 are not installed
        self.tag: str | None = None
        self._client = client
        self._target = target
        self._rest = bytearray()
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._sending: asyncio.Task[Any] | None = None

    async def write(self, data: memoryview) -> None:
        """Append to the object; returns when at most one part is being sent."""
        self._rest += data
        while len(self._rest) >= _PART:
            part, self._rest = bytes(self._rest[:_PART]), self._rest[_PART:]
            await self._send(part)

    async def complete(self) -> None:
        """Send the rest, and make the object appear."""
        if self._id is None:
            done = await self._client.put_object(**self._target, Body=bytes(self._rest))
        else:
            await self._send(bytes(self._rest))
            await self._sent()
            done = await self._client.complete_multipart_upload(
                **self._target, UploadId=self._id, MultipartUpload={"Parts": self._parts}
            )
        self.tag = done["ETag"]

    async def abort(self) -> None:
        """Delete the parts."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._id is not None:
            with suppress(ClientError, BotoCoreError):  # The next export aborts it.
                await self._client.abort_multipart_upload(**self._target, UploadId=self._id)

    async def _send(self, part: bytes) -> None:
        if self._id is None:
            self._id = (await self._client.create_multipart_upload(**self._target))["UploadId"]
        await self._sent()
        number = len(self._parts) + 1
        self._sending = asyncio.create_task(
            self._client.upload_part(**self._target, UploadId=self._id, PartNumber=number, Body=part)
        )

    async def _sent(self) -> None:
        if self._sending is not None:
            sent = await self._sending
            self._sending = None
            self._parts.append({"PartNumber": len(self._parts) + 1, "ETag": sent["ETag"]})


class Bucket:
    """The files under a prefix of a bucket: a `Place` of an export in S3. The methods raise FilesRefused."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:  # noqa: ANN401 - see `Upload`
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._tags: dict[str, str] = {}

    def __str__(self) -> str:
        return f"{SCHEME}{self._bucket}/{self._prefix}".rstrip("/")

    async def clear(self, dataset: str) -> None:
        """Abort the uploads that killed exports of a dataset have left, which S3 would keep and charge for."""
        with self._as_refusal(dataset):
            uploads = self._client.get_paginator("list_multipart_uploads")
            async for page in uploads.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{dataset}/"):
                for left in page.get("Uploads", ()):
                    await self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=left["Key"], UploadId=left["UploadId"]
                    )

    async def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""
        found = await self._found(self._client.get_object, name)
        if found is None:
            return None
        with self._as_refusal(name):
            content: bytes = await found["Body"].read()
        self._tags[name] = found["ETag"]
        return content

    async def write(self, name: str, content: bytes) -> None:
        """Write a small file, if it has not changed since this process read or wrote it."""
        tag = self._tags.get(name)
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with self._as_refusal(name):
            done = await self._client.put_object(**self._target(name), **condition, Body=content)
            self._tags[name] = done["ETag"]

    @asynccontextmanager
    async def writing(self, name: str) -> AsyncIterator[Upload]:
        """Write a file, which appears if the block ends without an exception."""
        with self._as_refusal(name):
            upload = Upload(self._client, self._target(name))
            try:
                yield upload
                await upload.complete()
            except BaseException:
                await upload.abort()
                raise

    async def delete(self, name: str) -> None:
        """Delete a file if it exists."""
        with self._as_refusal(name):
            await self._client.delete_object(**self._target(name))

    async def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return await self._found(self._client.head_object, name) is not None

    async def holds(self, name: str, *, sha256: str, tag: str | None) -> bool:  # noqa: ARG002 - files have no tags
        """Whether a file is the one that got this tag when it was written: 1 call, which does not read it."""
        found = await self._found(self._client.head_object, name)
        return found is not None and found["ETag"] == tag

    async def _found(self, call: Callable[..., Awaitable[dict[str, Any]]], name: str) -> dict[str, Any] | None:
        with self._as_refusal(name):
            try:
                return await call(**self._target(name))
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise

    def _target(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{name}"}

    @contextmanager
    def _as_refusal(self, name: str) -> Iterator[None]:
        where = f"{SCHEME}{self._bucket}/{self._prefix}{name}"
        try:
            yield
        except ClientError as error:
            if _code(error) in _CHANGED:
                raise FilesRefused(f"{where} has been changed by another export: start again") from error
            raise FilesRefused(f"{where} cannot be read or written: {error}") from error
        except BotoCoreError as error:
            raise FilesRefused(f"{where} cannot be read or written: {error}") from error


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]
