"""Mails of notices to admins (R9)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The one mail to `user_id` that is being sent: a single notice, or a digest of many.

    `attempt` counts from 1 how often sending was started, `failures` how often no mail server accepted the mail; an
    attempt may also end because the sender dies or the table does not answer. Until `due_at` the mail belongs to its
    sender, afterwards any sender may take it over.
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
    """The mail due to one account: one whose sender failed, notices to mail one by one, and notices for a digest."""

    user_id: str
    mail: Mail | None
    notice_ids: tuple[str, ...]
    digest_ids: tuple[str, ...]
