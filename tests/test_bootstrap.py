"""Bootstrap builds services lazily, closes them in reverse order, and applies its parameters."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tests.service import Clock, settings_for
from vitrina.bootstrap import Services
from vitrina.clock import epoch_ms
from vitrina.config import Settings
from vitrina.domain.views import View
from vitrina.services.accounts.passwords import Passwords
from vitrina.services.analytics.analytics import Analytics
from vitrina.services.analytics.rollups import RollupQueue
from vitrina.services.products.cache import NoCache
from vitrina.services.views.recorder import ViewRecorder
from vitrina.store.items import ViewSegmentItem

LIBRARIES = ("pyarrow", "jwt", "zxcvbn", "bcrypt", "jinja2", "crawleruseragents", "opentelemetry")


@pytest.fixture
def settings() -> Settings:
    """Settings of a table that no test reaches."""
    return settings_for("http://127.0.0.1:9")


def test_importing_it_loads_no_library_of_a_single_service() -> None:
    """They would cost a command or a Lambda function time and memory."""
    code = f"import sys, vitrina.bootstrap; print([name for name in {LIBRARIES!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


async def test_each_service_is_built_once(settings: Settings) -> None:
    async with Services(settings, render=lambda product: product.id) as services:
        assert services.products is services.products
        assert services.analytics is services.analytics
        assert services.accounts is services.accounts


async def test_services_are_closed_in_reverse_order(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views are still stored at the end, so the table's clients are closed after everything else."""
    closed: list[str] = []

    async def drain(_: ViewRecorder, *, seconds: float) -> int:
        closed.append(f"views within {seconds:g} s")
        return 0

    async def close(service: object) -> None:
        closed.append(type(service).__name__)

    monkeypatch.setattr(ViewRecorder, "drain", drain)
    monkeypatch.setattr(Analytics, "close", close)
    monkeypatch.setattr(RollupQueue, "close", close)
    monkeypatch.setattr(Passwords, "close", lambda _: closed.append("Passwords"))
    async with Services(settings) as services:
        for built in (services.passwords, services.views, services.analytics):
            assert built is not None
    assert closed == ["Analytics", "RollupQueue", "views within 25 s", "Passwords"]


async def test_patience_extends_the_timeouts_and_never_shortens_them(settings: Settings) -> None:
    short, long = (settings.model_copy(update={"read_timeout": seconds}) for seconds in (1.0, 40.0))
    for given, patient, expected in ((short, None, 1.0), (short, 10.0, 10.0), (long, 10.0, 40.0)):
        async with Services(given, patient=patient) as services:
            assert services.settings.read_timeout == expected


async def test_all_services_share_one_clock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Including view events, which are stamped in milliseconds."""
    at = datetime(2026, 11, 24, 7, 1, 34, 120_000, tzinfo=UTC)
    stamps: list[int] = []

    async def put(*_: object) -> None:
        return None

    async with Services(settings, clock=Clock(at)) as services:
        make_segments = services.view_store.segments

        def segments(views: Sequence[View]) -> list[ViewSegmentItem]:
            stamps.extend(view.at_ms for view in views)
            return make_segments(views)

        monkeypatch.setattr(services.view_store, "segments", segments)
        monkeypatch.setattr(services.view_store, "put", put)
        with services.views.reserve() as view:
            await view.record("01890a5d-ac96-774b-bcce-b302099a8057", address="192.0.2.1", user_agent="", referrer=None)
        assert stamps == [epoch_ms(at)]
        assert str(services.analytics.period(None, None).last) == "2026-11-24"


async def test_without_a_renderer_products_have_no_cache(settings: Settings) -> None:
    async with Services(settings) as services:
        assert isinstance(services.products._cache, NoCache)
        with pytest.raises(AssertionError):
            _ = services.product_cache
