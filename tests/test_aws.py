"""Which host and region each client has."""

import pytest

from tests.service import settings_for
from vitrina.aws import connect, connect_streams

HOME = "https://dynamodb.eu-west-1.amazonaws.com"
LINK = "https://vpce-1-a.dynamodb.eu-west-1.vpce.amazonaws.com"
LOCAL = "http://127.0.0.1:8000"
STREAMS = "https://streams.dynamodb.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("writer", "streams", "expected"),
    [
        (None, None, STREAMS),
        (HOME, None, STREAMS),
        (LINK, None, STREAMS),
        (LOCAL, None, LOCAL),
        (LINK, "https://link.example", "https://link.example"),
        (LOCAL, "http://127.0.0.1:8001", "http://127.0.0.1:8001"),
    ],
)
async def test_streams_are_at_awss_own_host_or_where_an_emulator_has_the_table(
    writer: str | None, streams: str | None, expected: str
) -> None:
    """https://docs.aws.amazon.com/general/latest/gr/ddb.html: AWS has two hosts, and PrivateLink two services."""
    settings = settings_for("", writer_endpoint=writer, streams_endpoint=streams, region="eu-west-1")
    async with connect_streams(settings) as client:
        assert client.meta.endpoint_url == expected


@pytest.mark.parametrize(
    ("writer", "reader", "region", "expected"),
    [
        (None, None, "", (HOME, "eu-west-1")),
        (None, None, "us-east-2", ("https://dynamodb.us-east-2.amazonaws.com", "us-east-2")),
        (LOCAL, None, "", (LOCAL, "eu-west-1")),
        (LOCAL, "http://proxy.example", "", ("http://proxy.example", "eu-west-1")),
        (None, "http://proxy.example", "us-east-2", ("http://proxy.example", "us-east-2")),
    ],
)
async def test_a_reader_has_an_endpoint_and_a_region_of_its_own(
    writer: str | None, reader: str | None, region: str, expected: tuple[str, str]
) -> None:
    """One client is both if neither differs."""
    options = {"writer_endpoint": writer, "reader_endpoint": reader, "reader_region": region, "region": "eu-west-1"}
    async with connect(settings_for("", **options)) as clients:
        assert (clients.reader.meta.endpoint_url, clients.reader.meta.region_name) == expected
        assert (clients.reader is clients.writer) == (reader is None and not region)
