"""An integrator's day with the generated client: a key, the feed, a batch of prices, the notices.

Arguments: the service's URL, an admin's e-mail and password. `vitrina_client` exists only while a test runs.
"""

import sys

from vitrina_client import AuthenticatedClient, Client
from vitrina_client.api.auth import create_api_key, sign_in
from vitrina_client.api.notifications import list_notifications, read_notification
from vitrina_client.api.products import create_product, list_changes, list_products, run_product_batch
from vitrina_client.models import (
    ApiKeyCreate,
    BatchResults,
    FeedPage,
    ManagedProduct,
    NewApiKeyResource,
    NotificationPage,
    PatchOperation,
    Problem,
    ProductBatch,
    ProductCreate,
    Scope,
    SignIn,
    TokenResource,
)
from vitrina_client.types import UNSET, Unset


def main(url: str, email: str, password: str) -> None:
    """Use each operation; a failure is an AssertionError."""
    tokens = sign_in.sync(client=Client(base_url=url), body=SignIn(email=email, password=password))
    assert isinstance(tokens, TokenResource)
    admin = AuthenticatedClient(base_url=url, token=tokens.access_token)
    key = create_api_key.sync(client=admin, body=ApiKeyCreate(name="integration", scope=Scope.MANAGE))
    assert isinstance(key, NewApiKeyResource)
    program = AuthenticatedClient(base_url=url, token=key.key)

    versions: dict[str, int] = {}
    cursor: str | Unset = UNSET
    while True:
        page = list_changes.sync(client=program, limit=2, cursor=cursor)
        assert isinstance(page, FeedPage)
        cursor = page.next_cursor
        if not page.items:
            break
        for change in page.items:
            assert change.version == versions.get(change.product_id, 0) + 1
            versions[change.product_id] = change.version
    assert len(versions) == 3

    patches = [PatchOperation(op="patch", id=product_id, price="7.50") for product_id in versions]
    done = run_product_batch.sync(client=program, body=ProductBatch(operations=[*patches]), idempotency_key="prices-1")
    assert isinstance(done, BatchResults)
    for result in done.results:
        assert result.status == 200
        assert isinstance(result.product, ManagedProduct)
        assert result.product.price == "7.50"

    refused = create_product.sync(
        client=program, body=ProductCreate(sku="S-1", name="Lamp", brand="Alder", price="1.999")
    )
    assert isinstance(refused, Problem)
    assert refused.code == "validation_failed"
    listed = list_products.sync(client=program, limit=5)
    assert listed is not None
    assert not isinstance(listed, Problem)
    assert {product.price for product in listed.items} == {"7.50"}

    inbox = list_notifications.sync(client=admin, unread=True)
    assert isinstance(inbox, NotificationPage)
    (notice,) = inbox.items
    assert (notice.event, notice.new_price) == ("product.price_changed", "14.50")
    assert read_notification.sync_detailed(notice.id, client=admin).status_code == 204


if __name__ == "__main__":
    main(*sys.argv[1:])
