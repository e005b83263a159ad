"""Which host and region each client has."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.service import settings_for
from vitrina.aws import connect, connect_streams, read_keys
from vitrina.config import Settings
from vitrina.secrets_manager import SecretError

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


@asynccontextmanager
async def secrets_manager(
    patch: pytest.MonkeyPatch, answers: Mapping[str, Mapping[str, object]]
) -> AsyncIterator[list[str]]:
    """Serve secrets by their names, or errors (`__type`); yields what was asked. The settings name `keys` and `key`."""
    asked: list[str] = []

    async def get_secret_value(request: web.Request) -> web.Response:
        name = (await request.json())["SecretId"]
        asked.append(f"{request.headers['X-Amz-Target']} {name}")
        described = {"Name": name, "VersionId": "1" * 32, "CreatedDate": 1, **answers[name]}
        status = 400 if "__type" in described else 200
        return web.json_response(described, status=status, content_type="application/x-amz-json-1.1")

    app = web.Application()
    app.router.add_post("/", get_secret_value)
    async with TestServer(app) as server:
        patch.setenv("AWS_ENDPOINT_URL", str(server.make_url("")))
        patch.setenv("VITRINA_SIGNING_KEYS_SECRET", "keys")
        patch.setenv("VITRINA_SECRET_KEY_SECRET", "key")
        yield asked


async def test_keys_are_read_from_secrets_manager_where_the_settings_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWS generates them: the signing key has no id. Without names nothing is asked."""
    named_none = settings_for(LOCAL)
    texts = {name: {"SecretString": letter * 40} for name, letter in (("keys", "x"), ("key", "a"))}
    async with secrets_manager(monkeypatch, texts) as asked:
        settings = await read_keys(Settings())
    assert settings.token_keys == {"initial": b"x" * 40}
    assert settings.secret_key.get_secret_value() == "a" * 40
    assert asked == ["secretsmanager.GetSecretValue keys", "secretsmanager.GetSecretValue key"]
    assert await read_keys(named_none) is named_none


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"SecretBinary": "eHh4"}, r"the secret keys is binary: store its value as a text"),
        ({"__type": "ResourceNotFoundException"}, r"the secret keys cannot be read: .*ResourceNotFoundException"),
        ({"__type": "AccessDeniedException", "Message": "not authorized"}, r"the secret keys .*: not authorized"),
        ({"SecretString": "canary"}, r"the keys in keys and key cannot be used: VITRINA_SIGNING_KEYS: .* 32 bytes$"),
    ],
)
async def test_a_secret_without_usable_keys_is_named_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, object], message: str
) -> None:
    async with secrets_manager(monkeypatch, {"keys": answer, "key": {"SecretString": "a" * 40}}):
        with pytest.raises(SecretError, match=message) as refused:
            await read_keys(Settings())
    assert "canary" not in str(refused.value)
