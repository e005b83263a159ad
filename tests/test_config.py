"""Settings: which values are refused at the start, and how they are parsed."""

import sys

import pytest
from pydantic import ValidationError

from tests.service import settings_for
from vitrina.api.application import create_app
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings

GOOD = {"signing_keys": "k1:" + "s" * 32, "secret_key": "t" * 32}


def settings(**options: object) -> Settings:
    """Return settings parsed from environment variables."""
    return Settings.model_validate(GOOD | options)


@pytest.mark.parametrize("name", GOOD)
def test_the_api_requires_each_secret(name: str) -> None:
    """A default secret would be public. Commands that create tables or relay changes need none."""
    one = Settings.model_validate({other: value for other, value in GOOD.items() if other != name})
    for needs in (one.require_keys, lambda: create_app(one), lambda: one.derive_key("cursors")):
        with pytest.raises(ValueError, match=f"VITRINA_{name.upper()}: is required"):
            needs()
    settings().require_keys()


@pytest.mark.parametrize(
    "options",
    [
        {"signing_keys": "k1:" + "s" * 31},
        {"signing_keys": "s" * 31},
        {"signing_keys": ":" + "s" * 32},
        {"signing_keys": "k1:" + "s" * 32 + ",k2:short"},
        {"signing_keys": "k1:" + "s" * 32 + ","},
        {"secret_key": "t" * 31},
    ],
)
def test_a_secret_has_at_least_32_bytes_and_a_signing_key_an_id(options: dict[str, str]) -> None:
    """RFC 7518 section 3.2. All keys are checked, not only the one that signs."""
    with pytest.raises(ValidationError, match="32 bytes"):
        settings(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"signing_keys": DEMO_SIGNING_KEYS},
        {"signing_keys": f"k1:{'s' * 32},{DEMO_SIGNING_KEYS}"},
        {"secret_key": DEMO_SECRET_KEY},
    ],
)
def test_the_demos_keys_are_refused_in_production(options: dict[str, str]) -> None:
    """They are public, and production is the default environment."""
    with pytest.raises(ValidationError, match="public"):
        settings(**options)
    assert settings(environment="development", **options).token_keys
    assert settings(secret_key="my-shop-demo-" + "t" * 32).environment == "production"


def test_the_region_is_vitrinas_or_awss_and_never_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS tells functions and tasks their region in AWS_REGION."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "VITRINA_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValidationError, match="AWS_REGION or AWS_DEFAULT_REGION"):
        Settings()
    for name, region in (("AWS_DEFAULT_REGION", "eu-1"), ("AWS_REGION", "eu-2"), ("VITRINA_REGION", "eu-3")):
        monkeypatch.setenv(name, region)
        assert Settings().region == region
    monkeypatch.setenv("VITRINA_REGION", "")
    assert Settings().region == "eu-2"


def test_a_key_id_must_not_repeat() -> None:
    """With two keys under one id, tokens of the first could never be verified."""
    with pytest.raises(ValidationError, match="twice"):
        settings(signing_keys=f"k1:{'s' * 32},k1:{'t' * 32}")


def test_an_error_does_not_show_the_secret() -> None:
    """Errors end up in logs and issues."""
    with pytest.raises(ValidationError) as refused:
        settings(signing_keys=f"k1:{'s' * 31}")
    assert "ssss" not in str(refused.value)


def test_the_repr_of_settings_shows_no_secret() -> None:
    assert "sssss" not in repr(settings())
    assert "ttttt" not in repr(settings())


def test_the_first_key_signs_and_all_verify() -> None:
    """In the given order; a secret may contain a colon."""
    keys = settings(signing_keys=f"new:{'n' * 31}:, old:{'o' * 32}").token_keys
    assert list(keys.items()) == [("new", b"n" * 31 + b":"), ("old", b"o" * 32)]
    assert settings(signing_keys="s" * 32).token_keys == {"initial": b"s" * 32}


def test_lists_are_comma_separated_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces around the commas are dropped, and an empty variable counts as unset."""
    for name, value in GOOD.items():
        monkeypatch.setenv(f"VITRINA_{name.upper()}", value)
    monkeypatch.setenv("VITRINA_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,")
    monkeypatch.setenv("VITRINA_CORS_ORIGINS", "")
    monkeypatch.setenv("VITRINA_WRITER_ENDPOINT", "")
    read = Settings()
    assert [str(network) for network in read.proxy_networks] == ["10.0.0.0/8", "2001:db8::/32"]
    assert read.cors_origins == ()
    assert read.writer_endpoint is None


def test_a_proxy_that_is_no_network_is_refused() -> None:
    """When the API starts, not at the first request."""
    with pytest.raises(ValidationError):
        settings(trusted_proxies="10.0.0.1/8")


def test_each_purpose_and_each_secret_has_a_key_of_its_own() -> None:
    """Keys are the same in each process, have 32 bytes, and are never the secret itself."""
    one, other = settings_for(""), settings_for("", secret_key="another-secret-key-of-32-bytes-or-more")
    keys = [
        settings.derive_key(purpose) for settings in (one, other) for purpose in ("cursors", "visitors", "throttle")
    ]
    assert len(set(keys)) == 6
    assert {len(key) for key in keys} == {32}
    assert one.derive_key("cursors") == keys[0]
    assert one.secret_key.get_secret_value().encode() not in keys


def test_tracing_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(tracing="true").tracing
    monkeypatch.delitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    assert not settings().tracing
    with pytest.raises(ValidationError, match="needs the extra `tracing`, which is not installed"):
        settings(tracing="true")
