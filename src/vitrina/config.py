"""Settings: the only reader of the environment. Every field is a row of README's table, held there by a test."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEMO_SIGNING_KEYS = "demo:demo-signing-key-for-development-only-0001"
DEMO_SECRET_KEY = "demo-secret-key-for-development-only-000000001"  # noqa: S105 - public, and refused in production
SHORTEST_KEY = 32
"""Bytes: RFC 7518 section 3.2 asks HS256 for a key at least as long as its hash."""

Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What may differ from one installation to another. Durations are in seconds unless a field says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="VITRINA_", frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Literal["production", "development"] = Field(
        "production", description="`development` allows the demo keys and leaves the table unprotected."
    )
    # The table
    table_name: str = Field("vitrina", description="The one DynamoDB table.")
    region: str = Field("us-east-1", description="AWS region of the table.")
    writer_endpoint: str | None = Field(
        None, description="Where writes and the reads they rest on go; AWS itself if empty."
    )
    reader_endpoint: str | None = Field(
        None, description="Where reads that may be stale go (a replica, a DAX-style proxy); as the writer if empty."
    )
    connect_timeout: float = Field(0.5, gt=0, description="To open a connection to DynamoDB.")
    read_timeout: float = Field(1.0, gt=0, description="For one answer of DynamoDB.")
    # Notices to admins
    queue_name: str = Field("vitrina-notices", description="The queue of notices, less SQS's suffix `.fifo`.")
    queue_endpoint: str | None = Field(None, description="Where SQS is; AWS itself if empty.")
    queue_visibility_timeout: int = Field(60, ge=2, description="How long a message that was taken is hidden.")
    queue_max_receives: int = Field(5, ge=1, description="Tries of a message before it goes to the dead letters.")
    relay_lease_time: float = Field(
        10.0, gt=0, description="How long a relay may be silent before another takes its shards over."
    )
    relay_idle_interval: float = Field(1.0, gt=0, description="Between two looks at a shard that has nothing new.")
    notify_actor: bool = Field(default=False, description="Tell also the admin who changed the price.")
    notice_retention_days: int = Field(90, ge=1, description="Days that inbox entries are kept.")
    notices_before_digest: int = Field(
        3, ge=0, description="Notices of a window that are mailed at once, before the rest wait for its digest."
    )
    digest_minutes: int = Field(
        15, ge=1, le=1_440, description="Minutes of a digest's window, unless the admin chose others."
    )
    default_language: Literal["en", "es"] = Field(
        "en", description="Language of mail, `en` or `es`, unless the admin chose one."
    )
    # Mail
    mail_transport: Literal["smtp", "ses", "directory"] = Field(
        "smtp", description="`smtp`, `ses` or `directory`, which writes each mail into a file, for development."
    )
    mail_from: str = Field("Vitrina <vitrina@localhost>", description="Sender of mail.")
    mail_directory: str = Field("", description="Where `directory` writes.")
    mail_timeout: float = Field(10.0, gt=0, description="To send one mail.")
    mail_attempts: int = Field(8, ge=1, description="Tries of a mail, with growing pauses, before it is given up.")
    mail_lease_time: float = Field(60.0, gt=0, description="After which a mail whose sender died is sent by another.")
    smtp_host: str = Field("localhost", description="Mail server.")
    smtp_port: int = Field(25, ge=1, le=65_535, description="Its port.")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "none", description="How the connection is encrypted: `none`, `starttls` or `tls`."
    )
    smtp_username: str = Field("", description="Empty: no sign-in.")
    smtp_password: SecretStr = Field(SecretStr(""), description="For `smtp_username`.")
    ses_endpoint: str | None = Field(None, description="Where SES is; AWS itself if empty.")
    worker_metrics_port: int = Field(
        0, ge=0, le=65_535, description="Where relay and notifier serve `/metrics` and `/healthz`; 0: nowhere."
    )
    # Secrets
    signing_keys: SecretStr = Field(
        SecretStr(""),
        description="`kid:secret[,kid:secret]`, without which the API does not start: the first signs tokens, all "
        "verify them; each at least 32 bytes.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="At least 32 bytes, without which the API does not start: keys cursors, visitor hashes and stored "
        "fingerprints, one derived key each.",
    )
    # Accounts and sessions
    access_token_lifetime: int = Field(900, ge=1, description="How long an access token is good for.")
    refresh_token_lifetime: int = Field(30 * 86_400, ge=1, description="How long a session lives without a refresh.")
    bcrypt_cost: int = Field(12, ge=4, le=16, description="bcrypt's work factor (log2 of the rounds).")
    password_wait: float = Field(2.0, gt=0, description="How long a password check may wait for a thread before 503.")
    login_limit: int = Field(
        10,
        ge=1,
        description="Failed sign-ins a window, for one account from one address; wrong current passwords, for one "
        "session.",
    )
    login_address_limit: int = Field(100, ge=1, description="Failed sign-ins a window from one address.")
    login_account_limit: int = Field(
        100, ge=1, description="Failed sign-ins a window on one account, past which a new address gets two tries."
    )
    idempotency_lifetime: int = Field(86_400, ge=1, description="How long an idempotency key is remembered.")
    # Anonymous reads and views
    product_cache_ttl: float = Field(1.0, ge=0, description="How stale an anonymous product read may be; 0: never.")
    stale_if_error: float = Field(
        30.0, ge=0, description="How long past its time a kept answer may be served while the table does not answer."
    )
    view_commit_timeout: float = Field(0.25, gt=0, description="How long a reader waits for its view to be stored.")
    view_queue: int = Field(50_000, ge=1, description="Views that may wait to be stored; past that readers get 503.")
    views_retention_days: int = Field(0, ge=0, le=36_500, description="Days that view segments are kept; 0: for good.")
    # HTTP
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port that the API listens on; 0 takes a free one.")
    public_url: str = Field("", description="Scheme and host that links name; the request's own if empty.")
    trusted_proxies: Words = Field(
        (), description="Networks, comma-separated, whose `X-Forwarded-For` and `-Proto` are believed."
    )
    cors_origins: Words = Field((), description="Origins, comma-separated, that browsers may call from; `*` for all.")
    body_timeout: float = Field(10.0, gt=0, description="For a request's body to arrive.")
    request_timeout: float = Field(2.9, gt=0, description="For an answer, once the body is here; then 503.")
    keepalive_timeout: float = Field(75.0, gt=0, description="For an idle connection.")
    drain_delay: float = Field(
        0.0, ge=0, description="Between failing readiness and closing the port, for the load balancer to notice."
    )
    shutdown_timeout: float = Field(25.0, gt=0, description="For requests in flight and queued views at a stop.")
    docs: bool = Field(default=True, description="Serve the interactive page at `/docs`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged: `debug`, `info`, `warning` or `error`."
    )
    log_format: Literal["json", "console"] = Field("json", description="`console` for people.")

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
        """Refuse a short or published key (R14): a service that anyone can sign for is worse than none."""
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
        """Raise ValueError unless both secrets are there: whoever signs and hashes needs them, and nobody else."""
        for name in ("signing_keys", "secret_key"):
            if not getattr(self, name).get_secret_value():
                raise ValueError(f"VITRINA_{name.upper()}: is required")

    @property
    def token_keys(self) -> dict[str, bytes]:
        """Signing keys by key id, the one that signs first."""
        given = self.signing_keys.get_secret_value()
        pairs = (pair.partition(":") for pair in (given.split(",") if given else ()))
        return {kid.strip(): secret.strip().encode() for kid, _, secret in pairs}

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks whose forwarding headers are believed."""
        return tuple(ip_network(network) for network in self.trusted_proxies)
