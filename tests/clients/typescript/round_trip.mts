// Calls every operation on accounts, items and links by openapi-fetch with the generated types, and
// prints the operations that it called, one per line.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.mjs";

type Schemas = components["schemas"];

const [baseUrl, key] = process.argv.slice(2);
assert(baseUrl !== undefined && key !== undefined, "the URL of the server or the key is missing");
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
client.use({
  onRequest({ request, schemaPath }) {
    console.log(`${request.method} ${schemaPath}`);
  },
});

const image_link = "https://example.com/lamp.jpg";

// Forms are made from the same typed fields by FormData or URLSearchParams.
function multipart(fields: object): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  return form;
}

const urlencoded = { "Content-Type": "application/x-www-form-urlencoded" };

/** The data of a success; for any other response it is undefined. */
function expect<T>(answer: { data?: T; error?: unknown; response: Response }, status: number): T {
  assert.equal(answer.response.status, status, JSON.stringify(answer.error));
  assert(answer.data !== undefined);
  return answer.data;
}

function expectDeleted(answer: { response: Response }): void {
  assert.equal(answer.response.status, 204);
}

function expectProblem(
  answer: { error?: Schemas["Problem"]; response: Response },
  status: number,
  code: string,
): Schemas["Problem"] {
  assert(answer.error !== undefined);
  assert.equal(answer.response.headers.get("Content-Type"), "application/problem+json");
  assert.deepEqual([answer.error.status, answer.error.code], [status, code]);
  return answer.error;
}

async function createAccounts(): Promise<Schemas["AccountRead"][]> {
  const common = { dob: "1990-05-17", country: "Jordan" };
  const ada = { ...common, email: "ada@example.com", username: "ada", phone_number: "0790000000" };
  const bob = { ...common, email: "bob@example.com", username: "bob" };
  const eve = { ...common, email: "eve@example.com", username: "eve" };
  const accounts = [
    expect(await client.POST("/accounts", { body: ada }), 201),
    expect(await client.POST("/accounts", { body: bob, headers: urlencoded }), 201),
    expect(await client.POST("/accounts", { body: eve, bodySerializer: multipart }), 201),
  ];
  assert.deepEqual(
    accounts.map((one) => [one.country, one.dob, one.phone_number, one.version]),
    [
      ["JO", "1990-05-17", "+962790000000", 1],
      ["JO", "1990-05-17", null, 1],
      ["JO", "1990-05-17", null, 1],
    ],
  );

  const taken = expectProblem(await client.POST("/accounts", { body: ada }), 409, "email_taken");
  assert.equal(taken.errors[0]?.pointer, "/email");
  return accounts;
}

async function listInPages(accounts: Schemas["AccountRead"][]): Promise<void> {
  const found: Schemas["AccountRead"][] = [];
  let cursor: string | null = null;
  do {
    const query: NonNullable<paths["/accounts"]["get"]["parameters"]["query"]> = {
      limit: 2,
      sort: "email",
      count: "exact",
      country: ["JO", "FR"],
      ...(cursor !== null && { cursor }),
    };
    const page: Schemas["AccountPage"] = expect(
      await client.GET("/accounts", { params: { query } }),
      200,
    );
    assert.equal(page.count, 3);
    found.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor !== null);
  assert.deepEqual(found, accounts);

  const wrong = await client.GET("/accounts", { params: { query: { cursor: "x".repeat(20) } } });
  expectProblem(wrong, 422, "invalid_cursor");
}

async function exportAll(accounts: Schemas["AccountRead"][]): Promise<void> {
  const lines: string = expect(
    await client.GET("/accounts:export", {
      params: { query: { sort: "email", country: ["JO"] } },
      parseAs: "text",
    }),
    200,
  );
  assert.deepEqual(
    lines.trimEnd().split("\n").map((line) => JSON.parse(line)),
    accounts,
  );
  const empty: string = expect(
    await client.GET("/items:export", { params: { query: { format: "csv" } }, parseAs: "text" }),
    200,
  );
  assert(empty.startsWith("id,account_id,name,"));
}

async function writeAccountIfCurrent(account: Schemas["AccountRead"]): Promise<void> {
  const path = { account_id: account.id };
  const read = await client.GET("/accounts/{account_id}", { params: { path } });
  assert.deepEqual(expect(read, 200), account);
  const tag = read.response.headers.get("ETag");
  assert(tag !== null);
  const header = { "If-Match": tag };
  const known = await client.GET("/accounts/{account_id}", {
    params: { path, header: { "If-None-Match": tag } },
  });
  assert.equal(known.response.status, 304);

  // Null clears; an absent field stays.
  const body = { username: "lovelace", country: null };
  const changed = await client.PATCH("/accounts/{account_id}", {
    params: { path, header },
    headers: { "Content-Type": "application/merge-patch+json" },
    body,
  });
  const now = expect(changed, 200);
  assert.deepEqual([now.username, now.country, now.dob], ["lovelace", null, account.dob]);
  assert.equal(changed.response.headers.get("ETag"), '"2"');

  const stale = await client.PATCH("/accounts/{account_id}", { params: { path, header }, body });
  expectProblem(stale, 412, "stale_version");

  // What was read can be sent back. A form replaces too and clears what it leaves out.
  const kept = await client.PUT("/accounts/{account_id}", { params: { path }, body: now });
  assert.deepEqual(expect(kept, 200), now);
  const replaced = await client.PUT("/accounts/{account_id}", {
    params: { path },
    body: { email: account.email, username: "ada" },
    headers: urlencoded,
  });
  assert.equal(expect(replaced, 200).phone_number, null);
}

async function writeItems(account_id: string): Promise<Schemas["ItemRead"][]> {
  const header = { "Idempotency-Key": crypto.randomUUID() };
  const body = { account_id, name: "Lamp", image_link, price: "19.90", description: "Brass" };
  const first = await client.POST("/items", { params: { header }, body });
  const again = await client.POST("/items", { params: { header }, body });
  const lamp = expect(first, 201);
  assert.deepEqual(expect(again, 201), lamp);
  assert.equal(again.response.headers.get("Idempotency-Replayed"), "true");
  assert.equal(first.response.headers.get("Location"), `/items/${lamp.id}`);

  const clock = expect(
    await client.POST("/items", {
      body: { account_id, name: "Clock", image_link },
      bodySerializer: multipart,
    }),
    201,
  );
  assert.deepEqual([lamp.price, clock.price], ["19.90", "0.00"]);

  const path = { item_id: lamp.id };
  const changed = expect(
    await client.PATCH("/items/{item_id}", { params: { path }, body: { description: null } }),
    200,
  );
  assert.deepEqual([changed.name, changed.description, changed.version], ["Lamp", null, 2]);
  const stale = await client.PUT("/items/{item_id}", {
    params: { path, header: { "If-Match": '"1"' } },
    body: { account_id, name: "Lamp", image_link },
  });
  expectProblem(stale, 412, "stale_version");
  const read = await client.GET("/items/{item_id}", { params: { path } });
  assert.deepEqual(expect(read, 200), changed);

  const dear = await client.GET("/items", { params: { query: { account_id, price_gte: "1" } } });
  assert.deepEqual(expect(dear, 200).data, [changed]);
  const found = await client.GET("/accounts/{account_id}/items", {
    params: { path: { account_id }, query: { q: "clock" } },
  });
  assert.deepEqual(expect(found, 200).data, [clock]);
  return [changed, clock];
}

async function link(account_id: string, other_id: string, item_id: string): Promise<void> {
  const account = { params: { path: { account_id } } };
  const item = { params: { path: { item_id } } };
  const body = { item_id };

  const favorite = expect(
    await client.PUT("/accounts/{account_id}/favorite", { ...account, body }),
    201,
  );
  assert.equal(favorite.item.id, item_id);
  const again = await client.PUT("/accounts/{account_id}/favorite", { ...account, body });
  assert.deepEqual(expect(again, 200), favorite);
  const read = await client.GET("/accounts/{account_id}/favorite", account);
  assert.deepEqual(expect(read, 200), favorite);
  const fans = expect(await client.GET("/items/{item_id}/favorited-by", item), 200);
  assert.deepEqual(fans.data.map((fan) => fan.account.id), [account_id]);
  expectDeleted(await client.DELETE("/accounts/{account_id}/favorite", account));
  const gone = await client.GET("/accounts/{account_id}/favorite", account);
  expectProblem(gone, 404, "not_found");

  const reservation = expect(
    await client.PUT("/accounts/{account_id}/reservation", { ...account, body }),
    201,
  );
  const taken = await client.PUT("/accounts/{account_id}/reservation", {
    params: { path: { account_id: other_id } },
    body,
  });
  expectProblem(taken, 409, "item_already_reserved");
  const held = await client.GET("/accounts/{account_id}/reservation", account);
  assert.deepEqual(expect(held, 200), reservation);
  const holder = expect(await client.GET("/items/{item_id}/reservation", item), 200);
  assert.equal(holder.account.id, account_id);
  expectDeleted(await client.DELETE("/accounts/{account_id}/reservation", account));

  const both = { params: { path: { account_id, item_id } } };
  const wish = expect(
    await client.PUT("/accounts/{account_id}/wishes/{item_id}", {
      ...both,
      body: { note: "For the hall" },
    }),
    201,
  );
  assert.equal(wish.note, "For the hall");
  const wished = await client.GET("/accounts/{account_id}/wishes/{item_id}", both);
  assert.deepEqual(expect(wished, 200), wish);
  const wishes = expect(await client.GET("/accounts/{account_id}/wishes", account), 200);
  assert.deepEqual(wishes.data, [wish]);
  const wishers = expect(await client.GET("/items/{item_id}/wished-by", item), 200);
  assert.deepEqual(wishers.data.map((one) => one.account.id), [account_id]);
  expectDeleted(await client.DELETE("/accounts/{account_id}/wishes/{item_id}", both));
}

async function batchAccounts(): Promise<Schemas["AccountRead"][]> {
  const data = [0, 1, 2].map((n) => ({
    email: `batch${n}@example.com`,
    username: `${n}`,
    country: "JO",
  }));
  const validate = { query: { validate_only: true } };
  const wouldBe = await client.POST("/accounts:batchCreate", { body: { data }, params: validate });
  assert.equal(expect(wouldBe, 200).data.length, 3);
  const rows = expect(await client.POST("/accounts:batchCreate", { body: { data } }), 201).data;
  const taken = await client.POST("/accounts:batchCreate", { body: { data } });
  const { errors } = expectProblem(taken, 409, "email_taken");
  assert.deepEqual(errors.map((fault) => fault.pointer), data.map((_, n) => `/data/${n}/email`));
  const id = [...rows.map((row) => row.id)].reverse();
  const unknown = crypto.randomUUID();
  const query = { id: [...id, unknown] };
  const found = expect(await client.GET("/accounts:batchGet", { params: { query } }), 200);
  assert.deepEqual(found, { data: [...rows].reverse(), missing: [unknown] });
  const changes = rows.map((row) => ({ id: row.id, version: 1, country: null }));
  const changed = await client.POST("/accounts:batchUpdate", { body: { data: changes } });
  const now = expect(changed, 200).data;
  assert.deepEqual(now.map((row) => [row.country, row.version]), rows.map(() => [null, 2]));
  const stale = await client.POST("/accounts:batchUpdate", { body: { data: changes } });
  expectProblem(stale, 412, "stale_version");
  return now;
}

async function batchItems(accounts: Schemas["AccountRead"][]): Promise<void> {
  const data = accounts.map(({ id }) => ({ account_id: id, name: "Lamp", image_link }));
  const rows = expect(await client.POST("/items:batchCreate", { body: { data } }), 201).data;
  const ids = rows.map(({ id }) => ({ id }));
  const query = { id: rows.map((row) => row.id) };
  const found = expect(await client.GET("/items:batchGet", { params: { query } }), 200);
  assert.deepEqual(found.data, rows);
  const priced = ids.map((row) => ({ ...row, price: "7.5" }));
  const changed = await client.POST("/items:batchUpdate", { body: { data: priced } });
  assert.deepEqual(expect(changed, 200).data.map((row) => row.price), ids.map(() => "7.50"));
  expectDeleted(await client.POST("/items:batchDelete", { body: { data: ids.slice(1) } }));
  const owners = { data: accounts.map(({ id }) => ({ id })) };
  const refused = await client.POST("/accounts:batchDelete", { body: owners });
  expectProblem(refused, 409, "account_has_items");
  const cascade = { query: { cascade: true } };
  const deleted = await client.POST("/accounts:batchDelete", { body: owners, params: cascade });
  expectDeleted(deleted);
}

/** The client's types describe a file as a text; it is sent as it is. */
const asItIs = (file: string): string => file;

async function importAll(): Promise<void> {
  const header = { "Content-Type": "text/csv" };
  const body = "email;username;country\nkim@example.com;kim;Jordan\n";
  const csv = { body, headers: header, bodySerializer: asItIs };
  const query = { validate_only: true };
  const checked = await client.POST("/accounts:import", { ...csv, params: { query } });
  const report = expect(checked, 200);
  assert.deepEqual([report.rows, report.created, report.errors], [1, 1, []]);
  assert.deepEqual(expect(await client.POST("/accounts:import", csv), 200), report);
  const problem = expectProblem(await client.POST("/accounts:import", csv), 422, "import_rejected");
  assert.equal(problem.report?.rejected, 1);
  const { row, pointer, code } = problem.errors[0] ?? {};
  assert.deepEqual([row, pointer, code], [1, "/email", "not_unique"]);
  const update = { query: { on_conflict: "update" as const } };
  const changed = await client.POST("/accounts:import", {
    ...csv,
    body: body.replace("Jordan", "France"),
    params: update,
  });
  assert.equal(expect(changed, 200).updated, 1);

  const line = { account_email: "kim@example.com", name: "Lamp", image_link };
  const made = await client.POST("/items:import", {
    body: `${JSON.stringify(line)}\n`,
    headers: { "Content-Type": "application/x-ndjson" },
    bodySerializer: asItIs,
  });
  assert.equal(expect(made, 200).created, 1);
}

async function deleteAll(account_id: string, lamp_id: string, clock_id: string): Promise<void> {
  const lamp = { params: { path: { item_id: lamp_id } } };
  expectDeleted(await client.DELETE("/items/{item_id}", lamp));
  expectProblem(await client.DELETE("/items/{item_id}", lamp), 404, "item_not_found");
  const path = { account_id };
  const refused = await client.DELETE("/accounts/{account_id}", { params: { path } });
  expectProblem(refused, 409, "account_has_items");
  const cascade = { params: { path, query: { cascade: true } } };
  expectDeleted(await client.DELETE("/accounts/{account_id}", cascade));
  const clock = await client.GET("/items/{item_id}", { params: { path: { item_id: clock_id } } });
  expectProblem(clock, 404, "item_not_found");
}

const accounts = await createAccounts();
const [ada, bob, eve] = accounts;
assert(ada !== undefined && bob !== undefined && eve !== undefined);
await listInPages(accounts);
await exportAll(accounts);
await writeAccountIfCurrent(ada);
const [lamp, clock] = await writeItems(ada.id);
assert(lamp !== undefined && clock !== undefined);
await link(bob.id, eve.id, lamp.id);
await batchItems(await batchAccounts());
await importAll();
await deleteAll(ada.id, lamp.id, clock.id);
