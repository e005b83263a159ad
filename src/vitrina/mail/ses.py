"""Sends raw messages by Amazon SES (API v2)."""

from email.message import EmailMessage
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from vitrina.mail.transport import MailNotSent, MailRefused, as_bytes, recipient_of, sender_of

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

_REFUSED: Final = frozenset({"BadRequestException", "MessageRejected"})
"""Codes that concern the mail itself. All others (throttling, a paused account) can be resolved later."""


class SesTransport:
    """A transport over an SES client."""

    def __init__(self, client: "SESV2Client") -> None:
        self._client = client

    async def send(self, message: EmailMessage) -> None:
        """Send a message. Raises MailRefused, MailNotSent."""
        try:
            await self._client.send_email(
                FromEmailAddress=sender_of(message),
                Destination={"ToAddresses": [recipient_of(message)]},
                Content={"Raw": {"Data": as_bytes(message)}},
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _REFUSED:
                raise MailRefused(code) from error
            raise MailNotSent(code) from error
        except (BotoCoreError, OSError) as error:
            raise MailNotSent(type(error).__name__) from error
