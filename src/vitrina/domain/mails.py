"""A mail on its way to an admin (R9)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The one mail to `user_id` that is being sent: a notice by itself, or a digest of many.

    `attempt` counts from 1 how often it was begun, `failures` how often no mail server took it; a sender may also die,
    or find that the table does not answer. Until `due_at` the mail is its sender's, then whoever's takes it over.
    """

    id: str
    user_id: str
    notice_ids: tuple[str, ...]
    digest: bool
    attempt: int
    failures: int = 0
    created_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is due to one account: a mail whose sender died or failed, notices to mail one by one, and a digest's."""

    user_id: str
    mail: Mail | None
    notice_ids: tuple[str, ...]
    digest_ids: tuple[str, ...]
