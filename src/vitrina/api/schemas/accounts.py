"""Accounts, sign-ins, sessions and API keys over HTTP: requests and responses."""

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from vitrina.api.http.pagination import PageOf, PageQuery
from vitrina.api.http.responses import Resource
from vitrina.api.http.validation import BodyModel
from vitrina.api.schemas.analytics import Day
from vitrina.api.schemas.fields import (
    NO_CONTROLS,
    AccountName,
    Email,
    Line,
    NewPassword,
    Secret,
    Time,
    WholeNumber,
    absent,
    refuse_controls,
)
from vitrina.domain.api_keys import DEFAULT_DAYS, MOST_DAYS, Scope
from vitrina.domain.users import MAX_EMAIL, Role, Session, typed_email

_ANY: Final = NO_CONTROLS[1:-1]
_TYPED: Final = rf"{_ANY}[^\s\x00-\x1f\x7f-\x9f]{_ANY}"


def _refuse_blank(text: str) -> str:
    if not text:
        raise ValueError("is blank")
    return text


TypedEmail = Annotated[
    str,
    AfterValidator(typed_email),
    AfterValidator(_refuse_blank),
    AfterValidator(refuse_controls),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_EMAIL, "pattern": rf"^[\t-\r]*{_TYPED}[\t-\r]*$"}),
]
"""An e-mail as somebody types it to sign in, which need not be valid."""
_OPTIONAL: Final[dict[str, Any]] = {"minLength": 0}
"""What differs for a field of a form, where an empty one counts as left out."""


class UserRegister(BodyModel):
    """An account that its owner registers; its role is `user`."""

    email: Email
    password: NewPassword
    name: AccountName


class UserCreate(UserRegister):
    """A new account."""

    role: Literal["admin", "user"]


class UserPatch(BodyModel):
    """What to change of an account (RFC 7396): a field that is left out stays as it is."""

    email: Email = Field(default_factory=absent)
    name: AccountName = Field(default_factory=absent)
    role: Literal["admin", "user"] = Field(default_factory=absent)
    password: NewPassword = Field(default_factory=absent)
    active: bool = Field(default_factory=absent)


class UserQuery(PageQuery):
    """Parameters of the list of accounts."""

    role: Role | None = Field(None, description="Accounts of this role alone; all by default.")


class UserResource(Resource):
    """An account."""

    id: str
    email: str
    name: str
    role: Role
    active: bool
    created_at: Time
    updated_at: Time
    version: int


class UserPage(PageOf[UserResource]):
    """Accounts, the newest first."""


class SignIn(BodyModel):
    """Who signs in."""

    email: TypedEmail
    password: Secret


class Refresh(BodyModel):
    """The refresh token to spend."""

    refresh_token: Secret


class TokenRequest(BodyModel):
    """A sign-in or a refresh as RFC 6749 writes it, sections 4.3.2 and 6; other parameters are ignored."""

    model_config = ConfigDict(extra="ignore")

    grant_type: Annotated[str, Field(json_schema_extra={"enum": ["password", "refresh_token"]})]
    username: TypedEmail = Field(
        default_factory=absent,
        description="The e-mail, for the grant `password`.",
        json_schema_extra=_OPTIONAL | {"pattern": rf"^(\t*{_TYPED}\t*)?$"},
    )
    password: Secret = Field(
        default_factory=absent, description="For the grant `password`.", json_schema_extra=_OPTIONAL
    )
    refresh_token: Secret = Field(
        default_factory=absent, description="For the grant `refresh_token`.", json_schema_extra=_OPTIONAL
    )
    scope: str = Field(
        default_factory=absent, description="No scope is defined: leave it out.", json_schema_extra={"maxLength": 0}
    )


class PasswordChange(BodyModel):
    """One's own password, old and new."""

    current_password: Secret
    new_password: NewPassword


class TokenResource(Resource):
    """Tokens; lifetimes are in seconds."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's name of the type
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    session_id: str


class SessionResource(Resource):
    """A sign-in; `current` is the one that asks."""

    id: str
    user_agent: str
    created_at: Time
    refreshed_at: Time
    expires_at: Time
    current: bool


class SessionPage(PageOf[SessionResource]):
    """One's sessions, the newest first."""


class ApiKeyCreate(BodyModel):
    """A new API key."""

    name: Annotated[Line, Field(description="What the key is for.")]
    scope: Annotated[Scope, Field(strict=False)]
    expires_in_days: Annotated[WholeNumber, Field(ge=1, le=MOST_DAYS, description="Days until the key expires.")] = (
        DEFAULT_DAYS
    )


class ApiKeyFields(Resource):
    """What every response says of an API key."""

    id: str
    name: str
    scope: Scope
    created_at: Time
    expires_at: Time


class ApiKeyResource(ApiKeyFields):
    """An API key; `last_used_on` is null until its first use."""

    last_used_on: Day | None


class ApiKeyPage(PageOf[ApiKeyResource]):
    """One's API keys, the newest first."""


class NewApiKeyResource(ApiKeyFields):
    """A new API key; no other response shows `key`."""

    key: Annotated[str, Field(pattern="^vtk_[A-Za-z0-9_-]{86}$")]


def session_resource(session: Session, current: str) -> SessionResource:
    """Return a session; `current` is the id of the session that sent the request."""
    return SessionResource.model_validate(asdict(session) | {"current": session.id == current})
