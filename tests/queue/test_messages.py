"""Messages survive a round trip; others are rejected without being quoted."""

import json

import pytest

from tests.events import price_changed
from vitrina.queue.messages import ChangeUnread, Event, MessageUnreadable, decode, encode


@pytest.mark.parametrize(
    "event",
    [
        price_changed(),
        price_changed(old_currency="JPY", old_price="7"),
        ChangeUnread(product_id="p", version=3, reason="x"),
    ],
)
def test_an_event_survives_a_round_trip(event: Event) -> None:
    """In ASCII, which every SQS implementation keeps intact."""
    body = encode(event)
    assert body.isascii()
    assert decode(body) == event
    assert decode(body).id == event.id


def test_a_message_is_versioned() -> None:
    """These names and values are the contract with other consumers."""
    event = price_changed(product_id="p", version=7, name="Lamp")
    assert json.loads(encode(event)) == {
        "event": "product.price_changed",
        "v": 1,
        "product_id": "p",
        "version": 7,
        "sku": "LAMP-1",
        "name": "Lamp",
        "old_price": "19.99",
        "old_currency": "USD",
        "price": "24.50",
        "currency": "USD",
        "changed_at": "2026-11-24T07:00:07.000Z",
        "changed_by": "ana",
        "request_id": "test",
    }


def test_unknown_fields_are_ignored() -> None:
    """A newer sender may add fields."""
    event = price_changed()
    assert decode(json.dumps(json.loads(encode(event)) | {"brand": "Brightwell"})) == event


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event": "product.deleted"}, "message: union_tag_invalid"),
        ({"event": None}, "message: union_tag_invalid"),
        ({"v": 2}, "product.price_changed.v: literal_error"),
        ({"version": 0}, "product.price_changed.version: greater_than_equal"),
        ({"changed_at": "2026-11-24T07:00:07"}, "product.price_changed.changed_at: timezone_aware"),
        ({"name": ["canary"]}, "product.price_changed.name: string_type"),
    ],
)
def test_unknown_events_versions_and_shapes_are_rejected(changes: dict[str, object], said: str) -> None:
    with pytest.raises(MessageUnreadable) as raised:
        decode(json.dumps(json.loads(encode(price_changed())) | changes))
    assert str(raised.value) == said


@pytest.mark.parametrize("body", ["", "canary", "[]", "{}", '{"event": "product.price_changed"}', "\x00"])
def test_garbage_is_rejected_without_being_quoted(body: str) -> None:
    with pytest.raises(MessageUnreadable) as raised:
        decode(body)
    assert "canary" not in str(raised.value)
