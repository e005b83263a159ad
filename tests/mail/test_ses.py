"""Amazon SES: what it refuses for good, what is kept, and the account's rate."""

import asyncio
import time
from typing import Any, cast

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from tests.mail.test_transports import message
from tests.service import settings_for
from vitrina.aws import connect_mail
from vitrina.mail.ses import SesTransport
from vitrina.mail.transport import MailHeldBack, MailNotSent, MailRefused, open_transport


class Account:
    """A fake client: `problem` is raised by each call, `rate` is that of the account in mails a second."""

    def __init__(self, *, problem: Exception | None = None, rate: float = 0.0) -> None:
        self.problem = problem
        self.rate = rate
        self.asked = 0

    async def send_email(self, **_: object) -> None:
        if self.problem:
            raise self.problem

    async def get_account(self) -> dict[str, Any]:
        self.asked += 1
        if self.problem:
            raise self.problem
        return {"SendQuota": {"MaxSendRate": self.rate}}


def transport(account: Account) -> SesTransport:
    """A transport to the fake."""
    return SesTransport(cast("Any", account))


def refusal(code: str, text: str = "") -> ClientError:
    """An error response of SES."""
    return ClientError({"Error": {"Code": code, "Message": text}}, "SendEmail")


@pytest.mark.parametrize(
    "text", ["Illegal address", "Missing final '@domain'", "Domain starts with dot", "User name is missing: @a.example"]
)
async def test_only_a_refused_address_is_final(text: str) -> None:
    """https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html. The error has no address."""
    with pytest.raises(MailRefused, match=r"^BadRequestException$"):
        await transport(Account(problem=refusal("BadRequestException", text))).send(message())


@pytest.mark.parametrize(
    ("problem", "code", "concerns_all"),
    [
        (refusal("MessageRejected", "Email address is not verified: ana@example.com"), "MessageRejected", False),
        (refusal("TooManyRequestsException", "Maximum sending rate exceeded."), "TooManyRequestsException", False),
        (refusal("Throttling", "Maximum sending rate exceeded."), "TooManyRequestsException", False),
        (refusal("ThrottlingException", "Daily message quota exceeded."), "daily quota", True),
        (refusal("LimitExceededException"), "daily quota", True),
        (refusal("SendingPausedException"), "SendingPausedException", True),
        (refusal("AccountSuspendedException"), "AccountSuspendedException", True),
        (refusal("MailFromDomainNotVerifiedException"), "MailFromDomainNotVerifiedException", True),
        (refusal("ExpiredTokenException"), "ExpiredTokenException", True),
        (refusal("AccessDeniedException"), "AccessDeniedException", True),
        (refusal("InternalFailure"), "InternalFailure", True),
        (NoCredentialsError(), "NoCredentialsError", True),
        (EndpointConnectionError(endpoint_url="http://nowhere"), "EndpointConnectionError", True),
        (ConnectTimeoutError(endpoint_url="http://nowhere"), "ConnectTimeoutError", True),
    ],
    ids=str,
)
async def test_what_an_operator_or_time_can_mend_is_held_back(
    problem: Exception, code: str, *, concerns_all: bool
) -> None:
    with pytest.raises(MailHeldBack) as caught:
        await transport(Account(problem=problem)).send(message())
    assert (str(caught.value), caught.value.code, caught.value.concerns_all) == (code, code, concerns_all)
    assert caught.value.advice


@pytest.mark.parametrize(
    "problem", [ReadTimeoutError(endpoint_url="x"), ConnectionResetError(), refusal("BadRequestException", "Too long")]
)
async def test_an_unknown_outcome_counts_as_an_attempt(problem: Exception) -> None:
    """The mail may have been sent, so it is not repeated without end."""
    with pytest.raises(MailNotSent):
        await transport(Account(problem=problem)).send(message())


async def test_mails_keep_the_rate_of_the_account() -> None:
    """Concurrent ones too. The rate is read once in ten minutes."""
    account = Account(rate=50)
    sender = transport(account)
    began = time.monotonic()
    await asyncio.gather(*(sender.wait_turn() for _ in range(6)))
    assert time.monotonic() - began >= 5 / 50
    assert account.asked == 1


async def test_the_rate_is_read_again_and_a_failure_keeps_the_last_one() -> None:
    """A role without ses:GetAccount sends without a pace."""
    now = 0.0
    account = Account(rate=1e6)
    sender = SesTransport(cast("Any", account), monotonic=lambda: now)
    await sender.wait_turn()
    now, account.problem = 601.0, refusal("AccessDeniedException")
    await sender.wait_turn()
    await sender.wait_turn()
    assert account.asked == 2


async def test_ses_takes_raw_messages(ministack: str) -> None:
    """An unverified sender and an unreachable endpoint are left to the operator."""
    settings = settings_for(ministack, mail_transport="ses", ses_endpoint=ministack)
    async with connect_mail(settings) as client, open_transport(settings) as sender:
        for identity in ("notices@shop.example", "ana@example.com"):
            await client.create_email_identity(EmailIdentity=identity)
        await sender.wait_turn()
        await sender.send(message())
        with pytest.raises(MailHeldBack, match="MessageRejected"):
            await sender.send(message(sender="nobody@shop.example"))
    async with open_transport(settings_for("", mail_transport="ses", ses_endpoint="http://127.0.0.1:9")) as sender:
        with pytest.raises(MailHeldBack, match="EndpointConnectionError"):
            await sender.send(message())
