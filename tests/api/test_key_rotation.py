"""Keys rotate without ending a session: the old and the new processes of each step understand each other's tokens."""

from datetime import timedelta
from itertools import pairwise

import aiohttp
from pydantic import SecretStr

from tests.api.client import Client, Person, ok, problem
from tests.service import Service, serving
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.services.accounts.signing_keys import KeyRing


async def test_a_session_survives_a_rotation(service: Service, user: Person, http: aiohttp.ClientSession) -> None:
    """In each step processes with the former value and with the next one run side by side, until all have restarted."""
    tokens, first = user.tokens, KeyRing.of(service.settings)
    added = first.added(now())
    promoted = added.promoted()
    at, since = now() + timedelta(days=40), now()
    retired = promoted.retired(at, signing_since=since, lifetime=timedelta(days=30))
    steps = [first, added, promoted, retired]

    def signing(ring: KeyRing) -> Settings:
        return service.settings.model_copy(update={"signing_keys": SecretStr(ring.value)})

    oldest = tokens["access_token"]
    for before, after in pairwise(steps):
        async with serving(signing(before)) as former, serving(signing(after)) as following:
            for process, other in ((former, following), (following, former)):
                refresh = {"refresh_token": tokens["refresh_token"]}
                tokens = ok(await Client(http, process.url).post("/v1/auth/refresh", refresh))
                for each in (process, other):
                    ok(await Client(http, each.url, token=tokens["access_token"]).get("/v1/me"))
    async with serving(signing(retired)) as last:
        problem(await Client(http, last.url, token=oldest).get("/v1/me"), 401, "invalid_token")
