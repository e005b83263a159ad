"""Sample mails, notices and recipients."""

from datetime import UTC, datetime, timedelta
from typing import Any

from vitrina.domain.notices import Mail, Notice, PriceChanged
from vitrina.domain.users import Role, User

USER_ID = "01997b2e-0000-7000-8000-00000000000a"
AT = datetime(2026, 11, 24, 7, 1, 34, tzinfo=UTC)


def recipient(**fields: Any) -> User:  # noqa: ANN401 - each field has its own type
    defaults: dict[str, Any] = {
        "id": USER_ID,
        "email": "ana@example.com",
        "name": "Ana Admin",
        "role": Role.ADMIN,
        "active": True,
        "session_epoch": 0,
        "version": 1,
        "created_at": AT,
        "updated_at": AT,
    }
    return User(**defaults | fields)


def notice(number: int = 0, **fields: Any) -> Notice:  # noqa: ANN401 - each field has its own type
    """A notice of a change `number` seconds after AT."""
    by, user_id = fields.pop("changed_by_name", "Luis Admin"), fields.pop("user_id", USER_ID)
    defaults: dict[str, Any] = {
        "product_id": f"01997b2e-0000-7000-8000-{number:012x}",
        "version": 2,
        "sku": f"AA-LAM-{number}",
        "name": "Oak Lamp",
        "old_price": "19.99",
        "old_currency": "USD",
        "price": "24.99",
        "currency": "USD",
        "changed_at": AT + timedelta(seconds=number),
        "changed_by": "01997b2e-0000-7000-8000-00000000000b",
        "request_id": "req-1",
    }
    return Notice(user_id=user_id, change=PriceChanged(**defaults | fields), changed_by_name=by)


def mail(*notices: Notice, **fields: Any) -> Mail:  # noqa: ANN401 - each field has its own type
    """A mail of these notices at its first attempt."""
    defaults: dict[str, Any] = {
        "id": "01997b2e-0000-7000-8000-00000000000c",
        "user_id": USER_ID,
        "notice_ids": tuple(notice.id for notice in notices),
        "digest": len(notices) > 1,
        "attempt": 1,
        "created_at": AT,
        "due_at": AT + timedelta(seconds=60),
    }
    return Mail(**defaults | fields)
