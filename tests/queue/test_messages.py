"""Messages say what the event says, and what is no message is refused without being quoted."""

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
def test_an_event_comes_back_as_it_was_sent(event: Event) -> None:
    """In ASCII, which no queue garbles."""
    body = encode(event)
    assert body.isascii()
    assert decode(body) == event
    assert decode(body).id == event.id


def test_a_message_is_versioned() -> None:
    """And names its event; these names are the contract."""
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


def test_a_field_more_is_no_reason_to_refuse() -> None:
    """A newer sender may say more than this reader understands."""
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
def test_what_is_not_known_is_refused(changes: dict[str, object], said: str) -> None:
    """Another event, another version, another shape."""
    with pytest.raises(MessageUnreadable) as raised:
        decode(json.dumps(json.loads(encode(price_changed())) | changes))
    assert str(raised.value) == said


@pytest.mark.parametrize("body", ["", "canary", "[]", "{}", '{"event": "product.price_changed"}', "\x00"])
def test_garbage_is_refused(body: str) -> None:
    """Without a word of it in the error."""
    with pytest.raises(MessageUnreadable) as raised:
        decode(body)
    assert "canary" not in str(raised.value)
