"""Settings: the only module that reads the environment. A test compares the fields with README's table of settings."""

import hmac
import os
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEMO_SIGNING_KEYS = "demo:demo-signing-key-for-development-only-0001"
DEMO_SECRET_KEY = "demo-secret-key-for-development-only-000000001"  # noqa: S105 - public, and refused in production
SHORTEST_KEY = 32
"""Bytes. RFC 7518 section 3.2: a key of HS256 is at least as long as its hash."""

Words = Annotated[tuple[str, ...], NoDecode]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Url = Annotated[str, Field(pattern="^(https?://[^/]|$)")]
Region = Annotated[str, Field(pattern="^[a-zA-Z0-9-]*$")]


class Settings(BaseSettings):
    """The settings of an installation. Durations are in seconds unless a field names another unit."""

    model_config = SettingsConfigDict(
        env_prefix="VITRINA_", frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Literal["production", "development"] = Field(
        "production",
        description="`development` accepts the demo keys and makes the table without deletion protection and "
        "point-in-time recovery.",
    )
    # The table
    table_name: str = Field("vitrina", pattern="^[a-zA-Z0-9_.-]{3,255}$", description="Name of the DynamoDB table.")
    region: Region = Field("", description="AWS region of the table; empty: `AWS_REGION`, else `AWS_DEFAULT_REGION`.")
    writer_endpoint: Url | None = Field(None, description="Endpoint of writes and consistent reads; empty: AWS.")
    reader_endpoint: Url | None = Field(
        None, description="Endpoint of reads that may be stale; empty: the writer's, or AWS in `VITRINA_READER_REGION`."
    )
    reader_region: Region = Field("", description="AWS region of the reader's endpoint; empty: the table's.")
    streams_endpoint: Url | None = Field(
        None, description="Endpoint of the table's stream; empty: AWS, or the writer's if that is an emulator."
    )
    connect_timeout: Seconds = Field(0.5, description="Timeout for opening a connection to DynamoDB.")
    read_timeout: Seconds = Field(1.0, description="Timeout for one response of DynamoDB.")
    s3_endpoint: Url | None = Field(None, description="Endpoint of S3, for exports to `s3://…`; empty: AWS.")
    # Notices to admins
    queue_name: str = Field(
        "vitrina-notices",
        pattern="^[a-zA-Z0-9_-]{1,70}$",  # SQS allows 80 characters, of which `-dead.fifo` takes 10.
        description="Name of the queue of notices, without the suffix `.fifo`.",
    )
    queue_endpoint: Url | None = Field(None, description="Endpoint of SQS; empty: AWS.")
    queue_visibility_timeout: int = Field(60, ge=2, description="How long a received message is hidden from others.")
    queue_max_receives: Count = Field(5, description="Attempts at a message before it becomes a dead letter.")
    relay_lease_time: Seconds = Field(
        10.0, description="How long a relay may fail to renew its leases before another relay takes its shards."
    )
    relay_idle_interval: Seconds = Field(1.0, description="Pause between two reads of a shard without new records.")
    notify_actor: bool = Field(default=False, description="Also notify the admin who changed the price.")
    notice_retention_days: Count = Field(90, description="Days for which inbox entries are kept.")
    notices_before_digest: int = Field(
        3, ge=0, description="Notices in a digest window that are mailed at once; later ones wait for the digest."
    )
    digest_minutes: int = Field(
        15, ge=1, le=1_440, description="Length of a digest window in minutes, unless the admin chose another."
    )
    default_language: Literal["en", "es"] = Field(
        "en", description="Language of mail, `en` or `es`, unless the admin chose one."
    )
    # Mail
    mail_transport: Literal["smtp", "ses", "directory"] = Field(
        "smtp", description="`smtp`, `ses`, or for development `directory`, which writes each mail to a file."
    )
    mail_from: str = Field("Vitrina <vitrina@localhost>", description="Sender of mail.")
    mail_directory: str = Field("", description="Directory to which the transport `directory` writes.")
    mail_timeout: Seconds = Field(10.0, description="Timeout for sending one mail.")
    mail_attempts: Count = Field(
        8,
        description="Attempts at a mail, with growing pauses, before it is given up. Mail that is held back uses none.",
    )
    mail_lease_time: Seconds = Field(60.0, description="How long a mail is one notifier's; then another sends it.")
    smtp_host: str = Field("localhost", description="Host of the mail server.")
    smtp_port: int = Field(25, ge=1, le=65_535, description="Port of the mail server.")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "none", description="Encryption of the SMTP connection: `none`, `starttls` or `tls`."
    )
    smtp_username: str = Field("", description="User name for the mail server; empty: no sign-in.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password for `VITRINA_SMTP_USERNAME`.")
    ses_endpoint: Url | None = Field(None, description="Endpoint of SES; empty: AWS.")
    worker_metrics_port: int = Field(
        0, ge=0, le=65_535, description="Port on which relay and notifier serve `/metrics` and `/healthz`; 0: none."
    )
    # Secrets
    signing_keys: SecretStr = Field(
        SecretStr(""),
        description="Required by the API. `kid:secret[,kid:secret]`, each secret at least 32 bytes: the first signs "
        "tokens, all verify them. A secret alone has the kid `initial`.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Required by the API. At least 32 bytes, from which the keys of cursors, visitor hashes and stored "
        "fingerprints are derived.",
    )
    signing_keys_secret: str = Field(
        "",
        description="Name or ARN of the secret in AWS Secrets Manager from which a Lambda function reads "
        "`VITRINA_SIGNING_KEYS` when it starts, and in which `vitrina keys` changes them.",
    )
    secret_key_secret: str = Field("", description="As `VITRINA_SIGNING_KEYS_SECRET`, for `VITRINA_SECRET_KEY`.")
    # Accounts and sessions
    access_token_lifetime: Count = Field(900, description="Lifetime of an access token.")
    refresh_token_lifetime: Count = Field(30 * 86_400, description="How long a session lives without a refresh.")
    bcrypt_cost: int = Field(12, ge=4, le=16, description="Work factor of bcrypt (log2 of the rounds).")
    password_wait: Seconds = Field(2.0, description="How long a password check may wait for a thread; then 503.")
    login_limit: Count = Field(
        10,
        description="Failed sign-ins for one account from one address in 15 minutes; also wrong current passwords in "
        "one session.",
    )
    login_address_limit: Count = Field(
        100, description="Failed sign-ins from one address in 15 minutes, and as many registrations."
    )
    login_account_limit: Count = Field(
        100,
        description="Failed sign-ins on one account in 15 minutes; above it each address has two attempts at that "
        "account.",
    )
    idempotency_lifetime: Count = Field(86_400, description="How long an idempotency key is remembered.")
    # Anonymous reads and views
    product_cache_ttl: float = Field(1.0, ge=0, description="How stale anonymous product reads may be; 0: never stale.")
    stale_if_error: float = Field(
        30.0, ge=0, description="How much longer a cached response may be served while the table does not respond."
    )
    view_commit_timeout: Seconds = Field(
        0.25, description="How long a response waits until its view is stored; after that the view stays queued."
    )
    view_queue: Count = Field(50_000, description="Views that may wait to be stored; above it anonymous reads get 503.")
    views_retention_days: int = Field(0, ge=0, le=36_500, description="Days that view segments are kept; 0: forever.")
    # HTTP
    host: str = Field("127.0.0.1", description="Address on which the API listens.")
    port: int = Field(8080, ge=0, le=65_535, description="Port on which the API listens; 0: any free one.")
    public_url: str = Field("", description="Scheme and host of links in responses; empty: those of the request.")
    trusted_proxies: Words = Field(
        (),
        description="Networks, comma-separated, whose `X-Forwarded-For` and `X-Forwarded-Proto`, or `Forwarded`, are "
        "trusted.",
    )
    cors_origins: Words = Field((), description="Origins, comma-separated, that may call from a browser; `*`: all.")
    body_timeout: Seconds = Field(10.0, description="Timeout for receiving a request's body.")
    request_timeout: Seconds = Field(2.9, description="Timeout for the response once the body is received; then 503.")
    keepalive_timeout: Seconds = Field(75.0, description="How long an idle connection stays open.")
    drain_delay: float = Field(
        0.0, ge=0, description="Pause between failing readiness and closing the port, for load balancers to notice."
    )
    shutdown_timeout: Seconds = Field(25.0, description="How long a stop waits for requests and queued views.")
    docs: bool = Field(default=True, description="Serve the interactive page at `/docs`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged: `debug`, `info`, `warning` or `error`."
    )
    log_format: Literal["json", "console"] = Field("json", description="`json`, or `console` for people.")
    metrics_namespace: str = Field(
        "", description="CloudWatch namespace for which metrics are printed (embedded metric format); empty: none."
    )
    tracing: bool = Field(
        default=False, description="Record traces; the standard variables `OTEL_*` say where they are sent."
    )

    @field_validator("region")
    @classmethod
    def _find_region(cls, value: str) -> str:
        """Return the region, by default that of AWS_REGION or AWS_DEFAULT_REGION. Raises ValueError without one."""
        region = value or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not region:
            raise ValueError(
                "is required, or AWS_REGION or AWS_DEFAULT_REGION (for an emulator any, such as us-east-1)"
            )
        return region

    @field_validator("tracing")
    @classmethod
    def _find_extra(cls, value: bool) -> bool:  # noqa: FBT001 - pydantic's
        """Raise ValueError if tracing is on without the extra `tracing`."""
        try:
            if value:
                find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ModuleNotFoundError as error:
            raise ValueError("needs the extra `tracing`, which is not installed") from error
        return value

    @field_validator("trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        """Refuse a short or published key (R14), with which anyone could sign tokens."""
        signing_keys, secret_key = self.signing_keys.get_secret_value(), self.secret_key.get_secret_value()
        if signing_keys and len(self.token_keys) != signing_keys.count(",") + 1:
            raise ValueError("VITRINA_SIGNING_KEYS: a key id is given twice")
        for kid, secret in self.token_keys.items():
            if not kid or len(secret) < SHORTEST_KEY:
                raise ValueError(
                    f"VITRINA_SIGNING_KEYS: each is kid:secret with a secret of at least {SHORTEST_KEY} bytes"
                )
        if secret_key and len(secret_key.encode()) < SHORTEST_KEY:
            raise ValueError(f"VITRINA_SECRET_KEY: at least {SHORTEST_KEY} bytes")
        demo = {DEMO_SECRET_KEY, DEMO_SIGNING_KEYS.partition(":")[2]}
        given = {secret_key, *(secret.decode() for secret in self.token_keys.values())}
        if self.environment == "production" and demo & given:
            raise ValueError("VITRINA_SIGNING_KEYS, VITRINA_SECRET_KEY: the demo's keys are public; make your own")
        return self

    def require_keys(self) -> None:
        """Raise ValueError unless both secrets are set. Only a process that signs or hashes needs them."""
        for name in ("signing_keys", "secret_key"):
            if not getattr(self, name).get_secret_value():
                raise ValueError(f"VITRINA_{name.upper()}: is required")

    def derive_key(self, purpose: str) -> bytes:
        """Return the 32-byte key for `purpose` (HMAC-SHA256 as a pseudo-random function, NIST SP 800-108).

        Raises ValueError when the settings have no secret, because anyone could then derive the key.
        """
        self.require_keys()
        return hmac.digest(self.secret_key.get_secret_value().encode(), purpose.encode(), "sha256")

    @property
    def token_keys(self) -> dict[str, bytes]:
        """Signing keys by key id; the first one signs. A secret without an id, as AWS generates it, is `initial`."""
        given = self.signing_keys.get_secret_value()
        pairs = [pair if ":" in pair else f"initial:{pair}" for pair in (given.split(",") if given else ())]
        return {kid.strip(): secret.strip().encode() for kid, _, secret in (pair.partition(":") for pair in pairs)}

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks whose forwarding headers are trusted."""
        return tuple(ip_network(network) for network in self.trusted_proxies)
