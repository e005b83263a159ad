"""Reports that several requests share; tests/api/routes/test_analytics.py has what they contain."""

import asyncio
from datetime import date
from typing import Any

import pytest
from structlog.testing import capture_logs

from vitrina.domain.reports import Period
from vitrina.services.analytics.analytics import Analytics

UNUSED: Any = None


async def test_an_unexpected_error_is_logged_although_no_request_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum goes on when its requests have been cancelled."""
    analytics, proceed = Analytics(UNUSED, UNUSED, UNUSED, queue=UNUSED), asyncio.Event()

    async def fail(_: Period) -> None:
        await proceed.wait()
        raise ZeroDivisionError

    monkeypatch.setattr(analytics, "_counted", fail)
    waiting = asyncio.create_task(analytics.leaders(Period(date(2025, 11, 1), date(2025, 11, 2)), limit=3))
    await asyncio.sleep(0)
    (adding,) = analytics._adding.values()
    waiting.cancel()
    with capture_logs() as logs:
        proceed.set()
        await asyncio.gather(waiting, adding, return_exceptions=True)
    assert [(line["event"], type(line["exc_info"])) for line in logs] == [("report_failed", ZeroDivisionError)]
