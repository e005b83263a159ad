"""Sends mail by Amazon SES (API v2), at the account's rate, and tells a refused address from a refused account."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from vitrina.mail.transport import MailHeldBack, MailNotSent, MailRefused, Message, Transport

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

log = structlog.get_logger(__name__)

_ADDRESS: Final = re.compile(r"address|domain|user name", re.IGNORECASE)
"""What SES names in a BadRequestException for a malformed recipient: "Illegal address", "Domain starts with dot", …"""
_UNSENT: Final = (
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
"""Errors before the request: no connection, or no credentials to sign it with. After others the mail may be sent."""
_RATE_RETRY: Final = 30.0
"""Seconds until an unknown rate is asked for again."""
_RATE_AGE: Final = 600.0
"""Seconds for which the account's rate is kept: one GetAccount in ten minutes."""
_CALL_TIMEOUT: Final = 5.0
_QUOTA: Final = "daily quota"
_ADVICE: Final = {
    _QUOTA: "the account's sending quota of 24 hours is used up: wait, or ask AWS for a higher one",
    "AccessDeniedException": "allow ses:SendEmail and ses:SendRawEmail for the sender's identity",
    "AccountSuspendedException": "AWS has suspended the account's sending: answer its case in the Support Center",
    "ExpiredTokenException": "renew the AWS credentials",
    "MailFromDomainNotVerifiedException": "publish the MX record of the identity's MAIL FROM domain",
    "MessageRejected": "verify the identity of VITRINA_MAIL_FROM in this region; in SES's sandbox the recipient's, too",
    "SendingPausedException": "enable sending for the account in the console of SES",
    "TooManyRequestsException": "other senders use the account's rate: wait, or ask AWS for a higher one",
}
_OF_ONE_MAIL: Final = frozenset({"MessageRejected", "TooManyRequestsException"})
"""Refusals after which the mail to other recipients, or the next one, may pass."""


class SesTransport(Transport):
    """A transport to one account; each process keeps the account's rate by itself."""

    def __init__(self, client: "SESV2Client", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._interval = 0.0
        self._interval_ends = -1.0
        self._next = 0.0
        self._reading = asyncio.Lock()

    async def wait_turn(self) -> None:
        """Wait until the account's rate allows a message."""
        async with self._reading:
            if self._monotonic() >= self._interval_ends:
                await self._read_rate()
        turn = max(self._monotonic(), self._next)
        self._next = turn + self._interval
        await asyncio.sleep(turn - self._monotonic())

    async def send(self, message: Message) -> None:
        """Send a message. Raises MailRefused for its address, else MailHeldBack, and MailNotSent if it may be sent."""
        try:
            await self._client.send_email(
                FromEmailAddress=message.sender.address,
                Destination={"ToAddresses": [message.recipient.address]},
                Content={"Raw": {"Data": message.data}},
            )
        except ClientError as error:
            raise _translated(error) from error
        except (BotoCoreError, OSError) as error:
            name = type(error).__name__
            if isinstance(error, _UNSENT):
                raise MailHeldBack(name, "check the network and the AWS credentials of the notifier") from error
            raise MailNotSent(name) from error

    async def _read_rate(self) -> None:
        """Read the account's rate. Without an answer the last one stays; SES then refuses what is too fast."""
        self._interval_ends = self._monotonic() + _RATE_AGE
        try:
            async with asyncio.timeout(_CALL_TIMEOUT):
                account = await self._client.get_account()
        except (ClientError, BotoCoreError, OSError) as error:
            log.warning("mail_rate_unknown", error=type(error).__name__, advice="allow ses:GetAccount")
            self._interval_ends = self._monotonic() + _RATE_RETRY
            return
        rate = account.get("SendQuota", {}).get("MaxSendRate", 0.0)
        self._interval = 1 / rate if rate > 0 else 0.0


def _translated(error: ClientError) -> MailRefused | MailHeldBack | MailNotSent:
    """Return the error of a refusal. SES's own text may contain an address, so it is only searched."""
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "BadRequestException":
        return MailRefused(code) if _ADDRESS.search(text) else MailNotSent(code)
    if "quota" in text.lower() or code == "LimitExceededException":
        code = _QUOTA
    elif code in {"Throttling", "ThrottlingException"}:
        code = "TooManyRequestsException"
    advice = _ADVICE.get(code, "look up the code in the API reference of Amazon SES")
    return MailHeldBack(code, advice, concerns_all=code not in _OF_ONE_MAIL)
