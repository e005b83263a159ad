"""The requests about accounts: signing in and out, and managing users."""

from collections.abc import Mapping
from typing import Final

from scripts.postman.step import Step

_NEW_RUN: Final = (
    "const now = new Date();",
    'pm.collectionVariables.set("run", now.getTime().toString(36));',
    'pm.collectionVariables.set("today", now.toISOString().slice(0, 10));',
)
_ETAG: Final = 'header("ETag")'
_REPLAYED: Final = {"it is the first response again": 'header("Idempotency-Replayed") === "true"'}
_TOKEN: Final = "body.access_token"  # noqa: S105 - an expression
_NEWCOMER: Final = {"email": "newcomer-{{run}}@example.com", "password": "{{password}}", "name": "Noor Newcomer"}
_OTHER_PASSWORD: Final = "green-harbour-{{run}}"  # noqa: S105 - of an account of this run


def _sign_in(
    name: str,
    email: str,
    password: str = "{{password}}",  # noqa: S107 - a variable
    *,
    keep: Mapping[str, str] = {},
    code: str = "",
    before: tuple[str, ...] = (),
) -> Step:
    body = {"email": email, "password": password}
    return Step(name=name, operation="signIn", body=body, keep=keep, code=code, before=before)


SIGN_IN: Final = (
    _sign_in(
        "Sign in as the super_admin", "{{super_admin_email}}", before=_NEW_RUN, keep={"super_admin_token": _TOKEN}
    ),
    _sign_in("Sign in as an admin", "{{admin_email}}", keep={"admin_token": _TOKEN}),
    _sign_in("Sign in as the other admin", "{{other_admin_email}}", keep={"other_admin_token": _TOKEN}),
    _sign_in("Sign in as a user", "{{user_email}}", keep={"user_token": _TOKEN}),
    _sign_in("Sign-in without an account is refused", "nobody-{{run}}@example.com", code="invalid_credentials"),
    Step(
        name="Register",
        operation="register",
        headers={"Idempotency-Key": "register-{{run}}"},
        body=_NEWCOMER,
        facts={"the role is user": 'body.role === "user"'},
        keep={"newcomer_id": "body.id"},
    ),
    Step(
        name="Register again under the same key",
        operation="register",
        headers={"Idempotency-Key": "register-{{run}}"},
        body=_NEWCOMER,
        facts=_REPLAYED | {"it is the same account": 'body.id === kept("newcomer_id")'},
    ),
    Step(
        name="An e-mail is taken whatever its case",
        operation="register",
        body=_NEWCOMER | {"email": "NEWCOMER-{{run}}@example.com"},
        code="email_taken",
    ),
    _sign_in(
        "Sign in as the newcomer",
        "newcomer-{{run}}@example.com",
        keep={"newcomer_token": _TOKEN, "refresh_token": "body.refresh_token", "session_id": "body.session_id"},
    ),
    Step(
        name="Sign in as an OAuth 2.0 client does",
        operation="issueToken",
        body={"grant_type": "password", "username": "newcomer-{{run}}@example.com", "password": "{{password}}"},
        facts={"it is another session": 'body.session_id !== kept("session_id")'},
    ),
    Step(
        name="Refresh",
        operation="refresh",
        body={"refresh_token": "{{refresh_token}}"},
        facts={"the session goes on": 'body.session_id === kept("session_id")'},
        keep={"newcomer_token": _TOKEN},
    ),
    Step(
        name="A wrong current password is refused",
        operation="changePassword",
        caller="newcomer",
        body={"current_password": "not-{{password}}", "new_password": _OTHER_PASSWORD},
        code="wrong_password",
    ),
    Step(
        name="Change one's password",
        operation="changePassword",
        caller="newcomer",
        body={"current_password": "{{password}}", "new_password": _OTHER_PASSWORD},
    ),
    _sign_in(
        "Sign in elsewhere with the new password",
        "newcomer-{{run}}@example.com",
        _OTHER_PASSWORD,
        keep={"other_session_id": "body.session_id"},
    ),
    Step(
        name="List one's sessions",
        operation="listSessions",
        caller="newcomer",
        facts={"one is current": "body.items.filter((session) => session.current).length === 1"},
    ),
    Step(
        name="End the other session",
        operation="endSession",
        caller="newcomer",
        path={"session_id": "{{other_session_id}}"},
    ),
    Step(
        name="A spent refresh token ends its session",
        operation="refresh",
        body={"refresh_token": "{{refresh_token}}"},
        code="token_reused",
    ),
    Step(
        name="Tokens of an ended session are refused", operation="listSessions", caller="newcomer", code="invalid_token"
    ),
)

API_KEYS: Final = (
    Step(
        name="Create an API key for a program",
        operation="createApiKey",
        caller="admin",
        headers={"Idempotency-Key": "key-{{run}}"},
        body={"name": "Postman {{run}}", "scope": "manage", "expires_in_days": 1},
        facts={"the key is shown": 'body.key.startsWith("vtk_")'},
        keep={"program_token": "body.key", "key_id": "body.id"},
    ),
    Step(
        name="Replay the creation of the key",
        operation="createApiKey",
        caller="admin",
        headers={"Idempotency-Key": "key-{{run}}"},
        body={"name": "Postman {{run}}", "scope": "manage", "expires_in_days": 1},
        facts=_REPLAYED | {"it is the same key": 'body.key === kept("program_token")'},
    ),
    Step(
        name="Users have no API keys",
        operation="createApiKey",
        caller="user",
        body={"name": "Postman {{run}}", "scope": "read"},
        code="forbidden",
    ),
    Step(
        name="List one's API keys",
        operation="listApiKeys",
        caller="admin",
        facts={"none is shown again": "body.items.every((key) => key.key === undefined)"},
    ),
    Step(name="An API key cannot use API keys", operation="listApiKeys", caller="program", code="forbidden"),
    Step(name="Delete the API key", operation="deleteApiKey", caller="admin"),
    Step(name="A deleted API key is refused", operation="listApiKeys", caller="program", code="invalid_token"),
)

MANAGE_ACCOUNTS: Final = (
    Step(name="Read one's own account", operation="readOwnAccount", caller="user", keep={"etag": _ETAG}),
    Step(
        name="Read it again only if it has changed",
        operation="readOwnAccount",
        caller="user",
        headers={"If-None-Match": "{{etag}}"},
        not_modified=True,
    ),
    Step(name="An anonymous caller has no account", operation="readOwnAccount", code="authentication_required"),
    Step(
        name="Read the super_admin's account",
        operation="readOwnAccount",
        caller="super_admin",
        keep={"super_admin_id": "body.id"},
    ),
    Step(
        name="Create an admin",
        operation="createUser",
        caller="super_admin",
        body={"email": "clerk-{{run}}@example.com", "password": "{{password}}", "name": "Cleo Clerk", "role": "admin"},
        keep={"user_id": "body.id", "etag": _ETAG},
    ),
    Step(
        name="Admins may not create accounts",
        operation="createUser",
        caller="admin",
        body={"email": "clerk-2-{{run}}@example.com", "password": "{{password}}", "name": "Cy", "role": "admin"},
        code="forbidden",
    ),
    Step(
        name="Each invalid field of an account is reported",
        operation="createUser",
        caller="super_admin",
        body={"email": "nobody", "password": "short", "name": "Nemo", "role": "super_admin"},
        code="validation_failed",
        facts={"three fields are refused": "body.errors.length === 3"},
    ),
    Step(
        name="List admins",
        operation="listUsers",
        caller="super_admin",
        query={"role": "admin", "limit": "5"},
        facts={"all are admins": 'body.items.every((user) => user.role === "admin")'},
    ),
    Step(name="Read an account", operation="readUser", caller="super_admin"),
    Step(
        name="Change the account if it is unchanged since the read",
        operation="changeUser",
        caller="super_admin",
        headers={"If-Match": "{{etag}}"},
        body={"name": "Cleo Curator"},
        facts={"it has a new name": 'body.name === "Cleo Curator"', "it has a new version": "body.version === 2"},
    ),
    Step(
        name="A change of an outdated account is refused",
        operation="changeUser",
        caller="super_admin",
        headers={"If-Match": "{{etag}}"},
        body={"name": "Cleo Clerk"},
        code="version_mismatch",
        facts={"the current version is named": "body.current_version === 2"},
    ),
    Step(
        name="A super_admin cannot be changed",
        operation="changeUser",
        caller="super_admin",
        path={"user_id": "{{super_admin_id}}"},
        body={"active": False},
        code="super_admin_protected",
    ),
    Step(name="Delete an account", operation="deleteUser", caller="super_admin"),
    Step(name="It is gone", operation="readUser", caller="super_admin", code="not_found"),
)

SIGN_OUT: Final = (
    *(
        Step(name=f"Sign out the {name}", operation="signOut", caller=name.replace(" ", "_"))
        for name in ("user", "admin", "other admin", "super_admin")
    ),
    Step(name="A token is refused after signing out", operation="listSessions", caller="user", code="invalid_token"),
)
