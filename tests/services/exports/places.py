"""The places that exports write to: a folder, and a bucket of moto's S3."""

from pathlib import Path
from typing import Any

import boto3

from vitrina.config import Settings
from vitrina.ids import new_id


class Out:
    """A place by its name on the command line, with direct access to its files."""

    def __init__(self, name: str, endpoint: str | None) -> None:
        self.name = name
        self.settings = Settings(s3_endpoint=endpoint)

    def files(self) -> dict[str, bytes]:
        """Return the content of each file by its name in the place."""
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """Return what killed exports have left."""
        raise NotImplementedError

    def put(self, name: str, content: bytes) -> None:
        """Write a file."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Delete a file."""
        raise NotImplementedError


class FolderOut(Out):
    """A folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), None)
        self._folder = folder

    def files(self) -> dict[str, bytes]:
        """Return the content of each file."""
        return {
            str(path.relative_to(self._folder)): path.read_bytes()
            for path in sorted(self._folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def leftovers(self) -> list[str]:
        """Return the drafts."""
        return [str(path.relative_to(self._folder)) for path in self._folder.rglob(".*")]

    def put(self, name: str, content: bytes) -> None:
        """Write a file."""
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_bytes(content)

    def remove(self, name: str) -> None:
        """Delete a file."""
        (self._folder / name).unlink()


class BucketOut(Out):
    """A prefix of a new bucket."""

    def __init__(self, endpoint: str) -> None:
        self.client: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        self.bucket = f"test-{new_id()}"
        self.client.create_bucket(Bucket=self.bucket)
        super().__init__(f"s3://{self.bucket}/exports", endpoint)

    def files(self) -> dict[str, bytes]:
        """Return the content of each object."""
        listed = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {
            each["Key"].removeprefix("exports/"): self.client.get_object(Bucket=self.bucket, Key=each["Key"])[
                "Body"
            ].read()
            for each in listed
        }

    def leftovers(self) -> list[str]:
        """Return the keys of the uploads that are neither complete nor aborted."""
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [upload["Key"] for upload in uploads]

    def put(self, name: str, content: bytes) -> None:
        """Write an object."""
        self.client.put_object(Bucket=self.bucket, Key=f"exports/{name}", Body=content)

    def remove(self, name: str) -> None:
        """Delete an object."""
        self.client.delete_object(Bucket=self.bucket, Key=f"exports/{name}")
