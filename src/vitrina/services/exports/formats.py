"""Encodes batches of events in the three formats of an export, from whole columns to bytes."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import orjson

from vitrina.domain.reports import Format
from vitrina.domain.text import csv_cell
from vitrina.services.arrow import pa, pc
from vitrina.services.exports.columns import CACHED_PRODUCTS, EventBatch

_NAMES: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("day", pa.date32(), nullable=False),
        pa.field("product_id", _NAMES, nullable=False),
        pa.field("sku", _NAMES),
        pa.field("visitor_id", pa.string(), nullable=False),
        pa.field("referrer_host", _NAMES),
        pa.field("is_bot", pa.bool_(), nullable=False),
    ]
)

Skus = Sequence[str | None]
"""The SKU of each product of a batch; None if it is not known."""


class Encoder(Protocol):
    """Encodes one file: the results of `begin`, any number of `encode`, and `end` are its bytes, in this order."""

    rows: int
    """About how many events one call of `encode` should get."""

    def begin(self) -> bytes:
        """Return the bytes before all events."""

    def encode(self, events: EventBatch, skus: Skus) -> memoryview:
        """Return the bytes of some events."""

    def end(self) -> bytes:
        """Return the bytes after all events."""


def new_encoder(form: Format, *, partitioned: bool = False) -> Encoder:
    """Return the encoder of a file; `partitioned` if the file is in a folder `day=…`.

    A partitioned file has no column for the day: readers take it from the path, and pyarrow, Spark and Athena fail on a
    column that is in both.
    """
    schema = SCHEMA.remove(SCHEMA.get_field_index("day")) if partitioned else SCHEMA
    match form:
        case Format.PARQUET:
            return _ParquetEncoder(schema)
        case Format.CSV:
            return _TextEncoder(_CSV, _csv_cell, day="" if partitioned else "{},", header=csv_header(schema))
        case Format.JSONL:
            return _TextEncoder(_JSON, _json_value, day="" if partitioned else '"day":"{}",')


class ParquetFile:
    """Encodes Parquet, compressed with zstd; each `add` is a row group.

    `texts` are columns with repeated values. `times` get statistics and an encoding that is faster than zstd on plain
    times; the other columns are unordered, so that their bounds would exclude no row group.
    """

    def __init__(self, schema: pa.Schema, *, texts: list[str], times: list[str]) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - the other formats and all reports do without it

        self._schema = schema
        self._file = _DrainedFile()
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._file, mode="w"),
            schema,
            compression="zstd",
            use_dictionary=texts,
            column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
            store_schema=False,  # Arrow readers would get dictionaries where all others get text.
            write_statistics=times,
        )

    def begin(self) -> bytes:
        """Return the magic bytes."""
        return self._file.take()

    def add(self, columns: Mapping[str, pa.Array], rows: int) -> bytes:
        """Return a row group."""
        arrays = [columns[name] for name in self._schema.names]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema), row_group_size=rows)
        return self._file.take()

    def end(self) -> bytes:
        """Return the footer."""
        self._writer.close()
        return self._file.take()


class _ParquetEncoder(ParquetFile):
    rows = 65_536

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__(schema, texts=["product_id", "sku", "referrer_host"], times=["event_time"])

    def encode(self, events: EventBatch, skus: Skus) -> memoryview:
        """Return a row group."""
        columns = {
            "event_id": events.event_id(),
            "event_time": events.time(),
            "day": pa.repeat(pa.scalar(events.day, pa.date32()), events.rows),
            "product_id": _names(events.products.ids, events.products.of_event),
            "sku": _names(skus, events.products.of_event),
            "visitor_id": events.visitor,
            "referrer_host": _names(events.hosts, events.referrer),
            "is_bot": events.bot,
        }
        return memoryview(self.add(columns, events.rows))


def _names(values: Sequence[str | None], places: pa.Array) -> pa.Array:
    """Return the value at each place as a dictionary array of distinct values, with null for None."""
    distinct = pa.array(values, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(places), distinct.dictionary)


class _DrainedFile(io.RawIOBase):
    """A file in memory whose content is taken away while it is written; `tell` counts all bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any bytes-like object
        self._parts.append(bytes(data))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class _LineTemplate(NamedTuple):
    """A line in pieces that many events share; the time goes before `day`, the visitor before `end`."""

    segment: str
    place: str
    day: str
    product: str
    end: str


_CSV: Final = _LineTemplate(
    segment="{}-",
    place="{place},{day}T",
    day="Z,",
    product="{product_id},{sku},",
    end=",{host},{bot}\r\n",
)
_JSON: Final = _LineTemplate(
    segment='{{"event_id":"{}-',
    place='{place}","event_time":"{day}T',
    day='Z",',
    product='"product_id":"{product_id}","sku":{sku},"visitor_id":"',
    end='","referrer_host":{host},"is_bot":{bot}}}\n',
)


class _TextEncoder:
    """Encodes a line per event: each piece is formatted once for all events that share it, and Arrow joins them.

    `text` formats a string of the format, `day` the column of the day, and `header` is the first line.
    """

    rows = 32_768

    def __init__(self, line: _LineTemplate, text: Callable[[str | None], str], *, day: str, header: str = "") -> None:
        self._line = line._replace(day=line.day + day)
        self._text = text
        self._header = header
        self._product = lru_cache(CACHED_PRODUCTS)(self._of_product)

    def begin(self) -> bytes:
        """Return the header."""
        return self._header.encode()

    def encode(self, events: EventBatch, skus: Skus) -> memoryview:
        """Return the lines of some events."""
        line, text, day = self._line, self._text, events.day.isoformat()
        products = map(self._product, events.products.ids, skus)
        ends = [line.end.format(host=text(host), bot=bot) for host in events.hosts for bot in ("false", "true")]
        pieces = (
            events.of_segments(line.segment.format),
            events.of_places(lambda place: line.place.format(place=place, day=day)),
            events.of_day.cast(pa.time32("ms")).cast(pa.string()),
            line.day.format(day),
            pa.array(products, pa.string()).take(events.products.of_event),
            events.visitor,
            pa.array(ends, pa.string()).take(pc.add(pc.multiply(events.referrer, 2), events.bot.cast(pa.int32()))),
        )
        lines = pc.binary_join_element_wise(*pieces, "")
        _, offsets, data = lines.buffers()
        return memoryview(data)[: memoryview(offsets).cast("i")[len(lines)]]

    def end(self) -> bytes:
        """Return nothing."""
        return b""

    def _of_product(self, product_id: str, sku: str | None) -> str:
        return self._line.product.format(product_id=product_id, sku=self._text(sku))


def csv_header(schema: pa.Schema) -> str:
    """Return the first line of a CSV file."""
    return ",".join(schema.names) + "\r\n"


def _csv_cell(value: str | None) -> str:
    return "" if value is None else csv_cell(value)


def _json_value(value: str | None) -> str:
    return orjson.dumps(value).decode()
