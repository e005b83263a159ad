"""Inboxes over HTTP: an admin's own notices, unread until they are read, and how they are mailed (R9)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.api.client import PASSWORD, Client, JsonObject, Person, fresh_email, ok, pages, problem, sign_in
from tests.service import Service
from tests.store.samples import price_changed
from vitrina.clock import now, rfc3339
from vitrina.domain.notices import Notice, PriceChanged
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.inbox import InboxStore
from vitrina.store.items import Item
from vitrina.store.operations import Query
from vitrina.store.recipients import RecipientStore

PREFERENCES = "/v1/me/notification-preferences"
DEFAULTS = {"email": "digest", "digest_minutes": 15, "language": "en"}


@pytest.fixture
async def owner(anonymous: Client, super_admin: Person) -> Person:
    """An admin with an empty inbox."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Ines Admin", "role": "admin"}
    return await sign_in(anonymous, ok(await super_admin.post("/v1/users", account), 201))


async def tell(service: Service, owner: Person, number: int, **fields: Any) -> list[PriceChanged]:  # noqa: ANN401
    """Put notices into an inbox, one a minute, as the notifier does; return the changes, newest first."""
    store = InboxStore(service.services.table, retention_days=90)
    first = now() - timedelta(minutes=number)
    changes = [price_changed(changed_at=first + timedelta(minutes=minute), **fields) for minute in range(number)]
    for change in changes:
        await store.add(Notice(user_id=owner.id, change=change, changed_by_name="Luis"), due_at=None, digest=False)
    return changes[::-1]


async def inbox(owner: Client, query: str = "") -> JsonObject:
    """Read the first page of an inbox."""
    return dict(ok(await owner.get(f"/v1/notifications{query}")))


def found(page: JsonObject) -> list[str]:
    """Return the ids of a page."""
    return [item["id"] for item in page["items"]]


def noted(changes: list[PriceChanged]) -> list[str]:
    """Return the ids of the notices of changes."""
    return [change.notice_id for change in changes]


class TestListing:
    """GET /v1/notifications."""

    async def test_a_notice_says_what_who_when_and_from_what_to_what(self, service: Service, owner: Person) -> None:
        """Prices as they were shown, in the currencies of then."""
        [change] = await tell(service, owner, 1, old_price="19.99", price="1500", currency="JPY")
        assert await inbox(owner) == {
            "items": [
                {
                    "id": change.notice_id,
                    "event": "product.price_changed",
                    "product": {"id": change.product_id, "sku": "LAMP-01", "name": "Lamp"},
                    "old_price": "19.99",
                    "new_price": "1500",
                    "old_currency": "USD",
                    "currency": "JPY",
                    "changed_by": {"id": change.changed_by, "name": "Luis"},
                    "changed_at": rfc3339(change.changed_at),
                    "request_id": "test",
                    "read_at": None,
                }
            ],
            "next_cursor": None,
            "unread_count": 1,
        }

    async def test_an_inbox_is_paged_newest_first(self, service: Service, owner: Person) -> None:
        """All of it and what is unread; every page has the count of all that is unread."""
        changes = await tell(service, owner, 5)
        for query in ("", "?unread=false", "?unread=true"):
            read = await pages(owner, f"/v1/notifications{query}", limit=2)
            assert [[item["id"] for item in page] for page in read] == [
                noted(changes[0:2]), noted(changes[2:4]), noted(changes[4:]),
            ]  # fmt: skip
        page = await inbox(owner, "?limit=2")
        assert page["unread_count"] == 5
        last = await inbox(owner, f"?limit=9&cursor={page['next_cursor']}")
        assert (found(last), last["unread_count"]) == (noted(changes[2:]), 5)

    async def test_an_empty_inbox_is_an_empty_page(self, owner: Person) -> None:
        """With a count of none."""
        assert await inbox(owner) == {"items": [], "next_cursor": None, "unread_count": 0}

    @pytest.mark.parametrize("value", ["1", "yes", "True", "TRUE", "", "null", "on"])
    async def test_unread_is_true_or_false(self, owner: Person, value: str) -> None:
        """Nothing that merely looks like it."""
        reply = await owner.get("/v1/notifications", params={"unread": value})
        assert problem(reply, 422, "validation_failed")["errors"] == [
            {"pointer": "/unread", "detail": "must be true or false"}
        ]

    async def test_a_cursor_is_good_for_its_owner_and_its_filter_alone(
        self, service: Service, owner: Person, admin: Person
    ) -> None:
        """Another's would show another's place."""
        await tell(service, owner, 2)
        cursor = (await inbox(owner, "?limit=1"))["next_cursor"]
        problem(await owner.get(f"/v1/notifications?unread=true&cursor={cursor}"), 400, "invalid_cursor")
        problem(await admin.get(f"/v1/notifications?cursor={cursor}"), 400, "invalid_cursor")

    async def test_an_inbox_is_its_owners(self, service: Service, owner: Person, super_admin: Person) -> None:
        """Not even a super_admin sees another's."""
        changes = await tell(service, owner, 1)
        assert noted(changes)[0] not in found(await inbox(super_admin))


class TestReading:
    """POST /v1/notifications/{id}/read and read-all."""

    async def test_what_is_read_has_a_time_and_is_unread_no_more(self, service: Service, owner: Person) -> None:
        """Reading it again changes nothing."""
        newest, *others = await tell(service, owner, 3)
        ok(await owner.post(f"/v1/notifications/{newest.notice_id}/read"), 204)
        page = await inbox(owner)
        assert page["unread_count"] == 2
        assert [item["read_at"] is None for item in page["items"]] == [False, True, True]
        ok(await owner.post(f"/v1/notifications/{newest.notice_id}/read"), 204)
        assert await inbox(owner) == page
        unread = await inbox(owner, "?unread=true")
        assert (found(unread), unread["unread_count"]) == (noted(others), 2)

    async def test_another_s_notice_is_not_found(self, service: Service, owner: Person, admin: Person) -> None:
        """Like one that does not exist, and it stays unread."""
        [change] = await tell(service, owner, 1)
        for notice_id in (change.notice_id, price_changed().notice_id, "nothing", new_id()):
            problem(await admin.post(f"/v1/notifications/{notice_id}/read"), 404, "not_found")
        assert (await inbox(owner))["unread_count"] == 1

    async def test_all_are_read_at_once(self, service: Service, owner: Person, admin: Person) -> None:
        """More than a page of them, one's own alone; doing it again is nothing."""
        await tell(service, owner, 120)
        [other] = await tell(service, admin, 1)
        for _ in range(2):
            ok(await owner.post("/v1/notifications/read-all"), 204)
            assert await inbox(owner, "?unread=true") == {"items": [], "next_cursor": None, "unread_count": 0}
        page = await inbox(owner, "?limit=100")
        assert page["unread_count"] == 0
        assert all(item["read_at"] for item in page["items"])
        assert other.notice_id in found(await inbox(admin, "?unread=true"))

    async def test_what_the_index_shows_and_the_table_has_not_is_passed_over(
        self, service: Service, owner: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An index lags: what it has may have been read, or be gone with its account."""
        changes = await tell(service, owner, 2)
        client = service.services.table._writer
        query: Callable[..., Any] = client.query

        async def late(**arguments: object) -> object:
            answer = await query(**arguments)
            for change in changes:
                await client.delete_item(
                    TableName=service.services.table.name,
                    Key=dict(
                        zip(
                            ("pk", "sk"), ({"S": part} for part in keys.notice(owner.id, change.notice_id)), strict=True
                        )
                    ),
                )
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(client, "query", late)
            ok(await owner.post("/v1/notifications/read-all"), 204)
        assert found(await inbox(owner)) == []


class TestPreferences:
    """GET and PUT /v1/me/notification-preferences."""

    async def test_preferences_are_the_installations_until_they_are_put(self, owner: Person, admin: Person) -> None:
        """Each admin's own."""
        assert ok(await owner.get(PREFERENCES)) == DEFAULTS
        wanted = {"email": "each", "digest_minutes": 60, "language": "es"}
        assert ok(await owner.request("PUT", PREFERENCES, wanted)) == wanted
        assert ok(await owner.get(PREFERENCES)) == wanted
        assert ok(await admin.get(PREFERENCES)) == DEFAULTS

    async def test_a_put_replaces_the_whole(self, owner: Person) -> None:
        """What is left out is the installation's again."""
        ok(await owner.request("PUT", PREFERENCES, {"email": "each", "digest_minutes": 60, "language": "es"}))
        assert ok(await owner.request("PUT", PREFERENCES, {"email": "off"})) == DEFAULTS | {"email": "off"}
        assert ok(await owner.get(PREFERENCES)) == DEFAULTS | {"email": "off"}

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/email"),
            ({"email": "never"}, "/email"),
            ({"email": None}, "/email"),
            ({"email": "each", "digest_minutes": 0}, "/digest_minutes"),
            ({"email": "each", "digest_minutes": 1_441}, "/digest_minutes"),
            ({"email": "each", "digest_minutes": "5"}, "/digest_minutes"),
            ({"email": "each", "digest_minutes": True}, "/digest_minutes"),
            ({"email": "each", "language": "fr"}, "/language"),
            ({"email": "each", "user_id": "x"}, "/user_id"),
        ],
    )
    async def test_what_is_no_preference_is_refused(self, owner: Person, body: JsonObject, pointer: str) -> None:
        """And nothing is changed."""
        reply = await owner.request("PUT", PREFERENCES, body)
        assert [error["pointer"] for error in problem(reply, 422, "validation_failed")["errors"]] == [pointer]
        assert ok(await owner.get(PREFERENCES)) == DEFAULTS


class TestLifeOfTheAccount:
    """What becomes of an inbox."""

    async def test_a_deleted_account_leaves_nothing_behind(
        self, service: Service, owner: Person, super_admin: Person
    ) -> None:
        """Inbox, preferences, window and sessions end with it."""
        await tell(service, owner, 30)
        ok(await owner.request("PUT", PREFERENCES, {"email": "off"}))
        table = service.services.table
        recipients = RecipientStore(table, defaults=await service.services.inbox.preferences(owner.id))
        await recipients.count(owner.id, 1, minutes=15, at=now())
        ok(await super_admin.delete(f"/v1/users/{owner.id}"), 204)
        query = Query(condition=Item.pk == keys.user(owner.id).pk, consistent=True)
        assert await table.query(query, limit=9) == ([], None)
        assert (await owner.get("/v1/notifications")).status == 401

    async def test_a_demoted_admin_loses_the_inbox_until_promoted_again(
        self, service: Service, owner: Person, super_admin: Person, anonymous: Client
    ) -> None:
        """The entries stay; nobody can reach them meanwhile."""
        changes = await tell(service, owner, 1)
        ok(await super_admin.patch(f"/v1/users/{owner.id}", {"role": "user"}))
        user = await sign_in(anonymous, owner.account)
        problem(await user.get("/v1/notifications"), 403, "forbidden")
        problem(await user.post("/v1/notifications/read-all"), 403, "forbidden")
        ok(await super_admin.patch(f"/v1/users/{owner.id}", {"role": "admin"}))
        assert found(await inbox(await sign_in(anonymous, owner.account))) == noted(changes)
