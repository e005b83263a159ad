"""An account refuses mail as SES does."""

import base64
from email.message import EmailMessage

import pytest

from tests.aws_simulator.conftest import request, succeed
from tests.aws_simulator.mail import MailAccount
from tests.aws_simulator.proxy import ManualClock, Response


@pytest.fixture
def account(clock: ManualClock) -> MailAccount:
    """An account in the sandbox."""
    return MailAccount(clock, verified=["shop.example", "ana@example.com"], sandbox=True)


async def send(
    account: MailAccount, recipient: str = "ana@example.com", sender: str = "notices@shop.example"
) -> Response:
    """Send a message."""
    body = {"FromEmailAddress": sender, "Destination": {"ToAddresses": [recipient]}}
    content = {"Raw": {"Data": base64.b64encode(bytes(EmailMessage())).decode()}}
    return await account(request("SendEmail", body | {"Content": content}, host="email"), succeed)


async def test_in_the_sandbox_the_recipient_must_be_verified_too(account: MailAccount) -> None:
    """https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html."""
    assert (await send(account)).ok
    refused = await send(account, "luis@example.com")
    assert (refused.code, refused.status) == ("MessageRejected", 400)
    assert refused.body["message"].endswith("in region US-EAST-1: luis@example.com")
    account.sandbox = False
    account.rate = 14
    assert (await send(account, "luis@example.com")).ok
    assert (await send(account, sender="notices@other.example")).code == "MessageRejected"
    assert [recipient for recipient, _ in account.sent] == ["ana@example.com", "luis@example.com"]


async def test_the_rate_is_messages_a_second(account: MailAccount, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html."""
    assert (await send(account)).ok
    refused = await send(account)
    assert (refused.code, refused.status) == ("TooManyRequestsException", 429)
    clock.advance(1)
    assert (await send(account)).ok


async def test_the_quota_is_messages_in_the_last_24_hours(account: MailAccount, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas.html."""
    for _ in range(200):
        assert (await send(account)).ok
        clock.advance(100)
    assert (await send(account)).body["message"] == "Daily message quota exceeded."
    described = (await account(request("GetAccount", {}, host="email"), succeed)).body
    assert described["SendQuota"] == {"Max24HourSend": 200, "MaxSendRate": 1, "SentLast24Hours": 200}
    clock.advance(24 * 3600 - 200 * 100)
    assert (await send(account)).ok


async def test_a_paused_account_sends_nothing(account: MailAccount) -> None:
    """https://docs.aws.amazon.com/ses/latest/dg/configuration-sets-pause-sending.html (account level)."""
    account.paused = True
    assert (await send(account)).code == "SendingPausedException"
