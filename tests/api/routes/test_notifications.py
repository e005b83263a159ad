"""Notifications of an admin over HTTP: listing, marking as read, and mail preferences (R9)."""

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
    """Add notifications to an inbox, one a minute, as the notifier does; return the changes, newest first."""
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
    """Return the ids of the notifications of changes."""
    return [change.notice_id for change in changes]


class TestListing:
    """GET /v1/notifications."""

    async def test_a_notification_has_the_product_actor_time_and_values(self, service: Service, owner: Person) -> None:
        """Prices have the format of the currency at the time of the change."""
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
        """Both listings, all and unread, are paged; every page has the total number of unread notifications."""
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
        """The unread count is 0."""
        assert await inbox(owner) == {"items": [], "next_cursor": None, "unread_count": 0}

    @pytest.mark.parametrize("value", ["1", "yes", "True", "TRUE", "", "null", "on"])
    async def test_unread_is_true_or_false(self, owner: Person, value: str) -> None:
        """Other spellings of a boolean are rejected."""
        reply = await owner.get("/v1/notifications", params={"unread": value})
        assert problem(reply, 422, "validation_failed")["errors"] == [
            {"pointer": "/unread", "detail": "must be true or false"}
        ]

    async def test_a_cursor_is_valid_only_for_its_owner_and_filter(
        self, service: Service, owner: Person, admin: Person
    ) -> None:
        """A cursor of another inbox would reveal a position in it."""
        await tell(service, owner, 2)
        cursor = (await inbox(owner, "?limit=1"))["next_cursor"]
        problem(await owner.get(f"/v1/notifications?unread=true&cursor={cursor}"), 400, "invalid_cursor")
        problem(await admin.get(f"/v1/notifications?cursor={cursor}"), 400, "invalid_cursor")

    async def test_only_the_owner_can_read_an_inbox(self, service: Service, owner: Person, super_admin: Person) -> None:
        """A super_admin cannot read the inbox of another account either."""
        changes = await tell(service, owner, 1)
        assert noted(changes)[0] not in found(await inbox(super_admin))


class TestReading:
    """POST /v1/notifications/{id}/read and read-all."""

    async def test_a_read_notification_has_a_time_and_is_not_listed_as_unread(
        self, service: Service, owner: Person
    ) -> None:
        """Marking it again changes nothing."""
        newest, *others = await tell(service, owner, 3)
        ok(await owner.post(f"/v1/notifications/{newest.notice_id}/read"), 204)
        page = await inbox(owner)
        assert page["unread_count"] == 2
        assert [item["read_at"] is None for item in page["items"]] == [False, True, True]
        ok(await owner.post(f"/v1/notifications/{newest.notice_id}/read"), 204)
        assert await inbox(owner) == page
        unread = await inbox(owner, "?unread=true")
        assert (found(unread), unread["unread_count"]) == (noted(others), 2)

    async def test_a_notification_of_another_account_is_not_found(
        self, service: Service, owner: Person, admin: Person
    ) -> None:
        """The response is that for an unknown id, and the notification stays unread."""
        [change] = await tell(service, owner, 1)
        for notice_id in (change.notice_id, price_changed().notice_id, "nothing", new_id()):
            problem(await admin.post(f"/v1/notifications/{notice_id}/read"), 404, "not_found")
        assert (await inbox(owner))["unread_count"] == 1

    async def test_read_all_marks_every_notification(self, service: Service, owner: Person, admin: Person) -> None:
        """It marks more than one page of the caller's own inbox; a repetition changes nothing."""
        await tell(service, owner, 120)
        [other] = await tell(service, admin, 1)
        for _ in range(2):
            ok(await owner.post("/v1/notifications/read-all"), 204)
            assert await inbox(owner, "?unread=true") == {"items": [], "next_cursor": None, "unread_count": 0}
        page = await inbox(owner, "?limit=100")
        assert page["unread_count"] == 0
        assert all(item["read_at"] for item in page["items"])
        assert other.notice_id in found(await inbox(admin, "?unread=true"))

    async def test_stale_entries_of_the_index_are_skipped(
        self, service: Service, owner: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The index is eventually consistent: its entry may already be read or deleted with its account."""
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

    async def test_preferences_default_to_the_settings(self, owner: Person, admin: Person) -> None:
        """Each admin has preferences of its own."""
        assert ok(await owner.get(PREFERENCES)) == DEFAULTS
        wanted = {"email": "each", "digest_minutes": 60, "language": "es"}
        assert ok(await owner.request("PUT", PREFERENCES, wanted)) == wanted
        assert ok(await owner.get(PREFERENCES)) == wanted
        assert ok(await admin.get(PREFERENCES)) == DEFAULTS

    async def test_a_put_replaces_all_preferences(self, owner: Person) -> None:
        """A field that is left out returns to the default."""
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
    async def test_an_invalid_preference_is_rejected(self, owner: Person, body: JsonObject, pointer: str) -> None:
        """The stored preferences are unchanged."""
        reply = await owner.request("PUT", PREFERENCES, body)
        assert [error["pointer"] for error in problem(reply, 422, "validation_failed")["errors"]] == [pointer]
        assert ok(await owner.get(PREFERENCES)) == DEFAULTS


class TestLifeOfTheAccount:
    """The inbox when its account is deleted or changes its role."""

    async def test_a_deleted_account_leaves_no_items(
        self, service: Service, owner: Person, super_admin: Person
    ) -> None:
        """Inbox, preferences, mail window and sessions are deleted with it."""
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
        """The notifications are kept, but no account can read them."""
        changes = await tell(service, owner, 1)
        ok(await super_admin.patch(f"/v1/users/{owner.id}", {"role": "user"}))
        user = await sign_in(anonymous, owner.account)
        problem(await user.get("/v1/notifications"), 403, "forbidden")
        problem(await user.post("/v1/notifications/read-all"), 403, "forbidden")
        ok(await super_admin.patch(f"/v1/users/{owner.id}", {"role": "admin"}))
        assert found(await inbox(await sign_in(anonymous, owner.account))) == noted(changes)
