"""Reads a local copy of DynamoDB's export to S3 (DynamoDB JSON, gzip), which costs no read units.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3TableExport.Output.html
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import starmap
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from pybase64 import b64decode

from vitrina.clock import epoch_seconds, from_rfc3339
from vitrina.domain.views import PackedViews
from vitrina.store import keys
from vitrina.store.views import Segment

_SUMMARY: Final = "manifest-summary.json"
_FILES: Final = "manifest-files.json"


class TableExportRefused(Exception):
    """The folder is not a complete export of the table in DynamoDB JSON; the message gives the reason."""


class FoundSegment(NamedTuple):
    """A segment with its day, its shard and its sort key."""

    day: date
    shard: int
    sort: str
    segment: Segment


class FoundSku(NamedTuple):
    """The SKU of a product, `original_sku` for a deleted one."""

    product_id: str
    sku: str


class TableExport:
    """An export with its manifests, or a folder of `.json.gz` files alone, whose time `at` is unknown."""

    def __init__(self, folder: Path) -> None:
        """Raise TableExportRefused if files are missing or the export is of another kind."""
        self._files, self.at = _manifest(folder) if (folder / _SUMMARY).exists() else _bare(folder)
        self.files = len(self._files)

    def read(self) -> Iterator[Iterator[FoundSegment | FoundSku]]:
        """Yield the segments and SKUs of each file, without segments that had expired at the time of the export.

        Raises TableExportRefused.
        """
        return starmap(self._read, self._files.items())

    def _read(self, path: Path, expected: int | None) -> Iterator[FoundSegment | FoundSku]:
        items = 0
        try:
            with gzip.open(path) as lines:
                for line in lines:
                    items += 1
                    if found := self._found(orjson.loads(line)["Item"]):
                        yield found
        except (OSError, EOFError, zlib.error) as error:
            raise TableExportRefused(f"{path} can't be read: {error}") from error
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise TableExportRefused(f"{path} is not an export in DynamoDB JSON (line {items})") from error
        if expected is not None and items != expected:
            raise TableExportRefused(f"{path} has {items:,} items, and should have {expected:,}")

    def _found(self, item: dict[str, Any]) -> FoundSegment | FoundSku | None:
        match item.get("type", {}).get("S"):
            case "views":
                if self.at and "expires_at" in item and int(item["expires_at"]["N"]) <= epoch_seconds(self.at):
                    return None
                referrers = orjson.loads(item["referrers"]["S"]) if "referrers" in item else []
                packed = PackedViews(events=b64decode(item["events"]["B"], validate=True), referrers=referrers)
                sort = item["sk"]["S"]
                day, shard = keys.day_and_shard(item["pk"]["S"])
                return FoundSegment(day, shard, sort, Segment(keys.segment_id(sort), packed))
            case "product":
                return FoundSku(item["id"]["S"], item.get("original_sku", item["sku"])["S"])
            case _:
                return None


def _manifest(folder: Path) -> tuple[Mapping[Path, int | None], datetime | None]:
    """Return the files that the manifests list with their numbers of items, and the time of the export."""
    try:
        summary = orjson.loads((folder / _SUMMARY).read_bytes())
        lines = (folder / _FILES).read_bytes().splitlines()
        listed = [orjson.loads(line) for line in lines if line.strip()]
        files = {folder / "data" / entry["dataFileS3Key"].rpartition("/")[2]: entry["itemCount"] for entry in listed}
        kind, of, at = summary["outputFormat"], summary.get("exportType", "FULL_EXPORT"), summary["exportTime"]
    except FileNotFoundError as error:
        raise TableExportRefused(f"{error.filename} is missing") from error
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise TableExportRefused(f"{folder}: its manifests are not those of an export") from error
    if kind != "DYNAMODB_JSON" or of != "FULL_EXPORT":
        raise TableExportRefused(f"{folder} is a {of} in {kind}: only a FULL_EXPORT in DYNAMODB_JSON will do")
    missing = [path for path in files if not path.exists()]
    if missing:
        raise TableExportRefused(f"{len(missing)} of {len(files)} files are missing, {missing[0]} among them")
    return files, from_rfc3339(at)


def _bare(folder: Path) -> tuple[Mapping[Path, int | None], datetime | None]:
    files = sorted({*folder.glob("*.json.gz"), *folder.glob("data/*.json.gz")})
    if not files:
        raise TableExportRefused(f"{folder} has no manifest-summary.json and no .json.gz files")
    return dict.fromkeys(files), None
