"""An account of Amazon SES that refuses for an hour delays mail, and neither loses nor repeats it."""

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from tests.aws_simulator.mail import MailAccount
from tests.aws_simulator.proxy import ManualClock, simulate
from tests.service import settings_for
from tests.services.notifications.harness import MailHarness
from vitrina.mail.transport import open_transport
from vitrina.services.notifications.mailer import Mailer
from vitrina.store.table import Table

STEP = 30.0
"""Seconds between two polls for due mail."""


@pytest.mark.parametrize(
    ("trouble", "code"),
    [("sandbox", "MessageRejected"), ("paused", "SendingPausedException"), ("quota", "daily quota")],
)
async def test_after_refusals_of_the_account_every_mail_arrives_once(table: Table, trouble: str, code: str) -> None:
    """Meanwhile no account is tried more often than once a minute, and one alarm names the reason and what to do."""
    clock = ManualClock()
    account = MailAccount(clock, verified=["shop.example", "a0@example.com"], sandbox=trouble == "sandbox")
    account.rate = 1000
    async with simulate("", [account]) as urls:
        settings = settings_for("", mail_transport="ses", mail_from="notices@shop.example", ses_endpoint=urls.ses)
        harness = MailHarness(table, settings)
        for number in range(4):
            await harness.add_due(await harness.admin(email=f"a{number}@example.com"), [1, 2])
        async with open_transport(settings) as transport:
            mailer = Mailer(harness.store, transport, settings, clock=harness.clock)

            async def work(seconds: float) -> None:
                for _ in range(int(seconds / STEP)):
                    while await mailer.send_due():
                        pass
                    clock.advance(STEP)
                    harness.clock.at += timedelta(seconds=STEP)

            account.paused = trouble == "paused"
            quota, account.quota = account.quota, 0 if trouble == "quota" else account.quota
            lasts = 3600 if trouble == "sandbox" else 600
            with capture_logs() as logs:
                await work(lasts)
            assert len(account.sent) == (2 if trouble == "sandbox" else 0)
            account.paused, account.sandbox, account.quota = False, False, quota
            await work(1200)
    errors = [line for line in logs if line["log_level"] == "error"]
    assert {(line["event"], line["code"]) for line in errors} == {("mail_held_back", code)}
    assert len(errors) <= 5
    assert all(line["advice"] for line in errors)
    tries = defaultdict(list)
    for at, recipient in account.attempts:
        if at < lasts and recipient != "a0@example.com":
            tries[recipient].append(at)
    assert all(later - earlier >= 60 for times in tries.values() for earlier, later in pairwise(times))
    assert sum(map(len, tries.values())) >= 3
    assert sorted(recipient for recipient, _ in account.sent) == sorted(f"a{n % 4}@example.com" for n in range(8))
    assert len({data.partition(b"Message-ID")[2].partition(b"\r\n")[0] for _, data in account.sent}) == 8
