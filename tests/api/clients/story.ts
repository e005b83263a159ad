// An integrator's day with the generated client: a key, the feed, a batch of prices, the notices.
// Arguments: the service's URL, an admin's e-mail and password.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const [baseUrl, email, password] = process.argv.slice(2);

function ok<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const tokens = ok(await createClient<paths>({ baseUrl }).POST("/v1/auth/login", { body: { email, password } }));
const admin = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${tokens.access_token}` } });
const key = ok(await admin.POST("/v1/auth/keys", { body: { name: "integration", scope: "manage" } }));
const program = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key.key}` } });

const versions = new Map<string, number>();
let page: components["schemas"]["FeedPage"] | undefined;
do {
  page = ok(await program.GET("/v1/changes", { params: { query: { limit: 2, cursor: page?.next_cursor } } }));
  for (const change of page.items) {
    check(change.version === (versions.get(change.product_id) ?? 0) + 1, "a change is missing");
    versions.set(change.product_id, change.version);
  }
} while (page.items.length > 0);
check(versions.size === 3, "the feed has three products");

const operations = [...versions.keys()].map((id) => ({ op: "patch" as const, id, price: "7.50" }));
const done = ok(await program.POST("/v1/products/batch", { body: { operations } }));
check(done.results.every((result) => result.status === 200 && result.product?.price === "7.50"), "prices are set");

// A field with a default may be left out: the currency.
const refused = await program.POST("/v1/products", { body: { sku: "S-1", name: "Lamp", brand: "Alder", price: 1.999 } });
check(refused.error?.code === "validation_failed", "a price with three decimals is refused");

const inbox = ok(await admin.GET("/v1/notifications", { params: { query: { unread: true } } }));
check(inbox.items.map((notice) => notice.new_price).join() === "14.50", "there is one notice");
const read = await admin.POST("/v1/notifications/{notification_id}/read", {
  params: { path: { notification_id: inbox.items[0].id } },
});
check(read.response.status === 204, "the notice is read");
