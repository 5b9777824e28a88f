// Sends the requests that tests/sdks/test_round_trips.py lists, with the generated SDK.

import assert from "node:assert/strict";
import {
  changeAccount,
  createAccount,
  createItem,
  deleteAccount,
  listAccounts,
  listItems,
  type Problem,
  retrieveAccount,
} from "./satchel";
import { client } from "./satchel/client.gen";

const image_link = "https://example.com/lamp.jpg";

type Answer<T> = { data?: T; error?: unknown; response?: Response };

async function expect<T>(answer: Promise<Answer<T>>, status: number): Promise<NonNullable<T>> {
  const { data, error, response } = await answer;
  assert.equal(response?.status, status, JSON.stringify(error));
  assert(data != null);
  return data;
}

async function expectDeleted(answer: Promise<Answer<unknown>>): Promise<void> {
  const { error, response } = await answer;
  assert.equal(response?.status, 204, JSON.stringify(error));
}

async function expectProblem(
  answer: Promise<{ error?: Problem | undefined; response?: Response }>,
  status: number,
  code: string,
): Promise<Problem> {
  const { error, response } = await answer;
  assert(error !== undefined);
  assert.deepEqual([response?.status, error.code], [status, code]);
  return error;
}

async function main(baseUrl: string, auth: string): Promise<void> {
  client.setConfig({ baseUrl, auth });

  // Create.
  const person = { dob: "1990-05-17", country: "Jordan", phone_number: "0790000000" };
  const ada = await expect(
    createAccount({ body: { email: "ada@example.com", username: "ada", ...person } }),
    201,
  );
  assert.deepEqual([ada.country, ada.dob, ada.version], ["JO", "1990-05-17", 1]);
  const bob = await expect(
    createAccount({ body: { email: "bob@example.com", username: "bob" } }),
    201,
  );
  const account_id = ada.id;
  for (const [name, price] of [["Brass lamp", 1234567.89], ["Clock", "19.9"]] as const) {
    await expect(createItem({ body: { account_id, name, price, image_link } }), 201);
  }

  // Read.
  assert.deepEqual(await expect(retrieveAccount({ path: { account_id } }), 200), ada);

  // List: two sorts, and filters.
  const dear = await expect(listItems({ query: { sort: "-price", account_id } }), 200);
  assert.deepEqual(dear.data.map((item) => item.price), ["1234567.89", "19.90"]);
  const found = await expect(
    listItems({ query: { sort: "name", q: "lamp", price_gte: "20" } }),
    200,
  );
  assert.deepEqual(found.data.map((item) => item.name), ["Brass lamp"]);
  const page = await expect(
    listAccounts({
      query: {
        sort: "email",
        count: "exact",
        country: ["FR", "JO"],
        created_gte: ada.created,
        dob_lte: "1990-05-17",
      },
    }),
    200,
  );
  assert.deepEqual([page.data, page.count], [[ada], 1]);

  // Walk, one row a page.
  const walk = { sort: "-username", limit: 1 } as const;
  const first = await expect(listAccounts({ query: walk }), 200);
  assert(first.next_cursor !== null);
  const second = await expect(
    listAccounts({ query: { ...walk, cursor: first.next_cursor } }),
    200,
  );
  assert.deepEqual([first.data, second.data, second.next_cursor], [[bob], [ada], null]);

  // Change: what is left out stays, null clears.
  const path = { account_id };
  const rename = { username: "lovelace" };
  const renamed = await expect(changeAccount({ path, body: rename }), 200);
  assert.deepEqual([renamed.username, renamed.country], ["lovelace", "JO"]);
  const cleared = await expect(
    changeAccount({ path, body: { country: null }, headers: { "If-Match": '"2"' } }),
    200,
  );
  assert.deepEqual([cleared.country, cleared.phone_number], [null, "+962790000000"]);

  // Problems.
  await expectProblem(
    changeAccount({ path, body: rename, headers: { "If-Match": '"1"' } }),
    412,
    "stale_version",
  );
  const problem = await expectProblem(
    createAccount({ body: { email: "nobody@localhost", username: "nobody" } }),
    422,
    "invalid_request",
  );
  assert.equal(problem.errors[0]?.pointer, "/email");
  await expectDeleted(deleteAccount({ path, query: { cascade: true } }));
  await expectProblem(retrieveAccount({ path }), 404, "account_not_found");
}

const [url, key] = process.argv.slice(2);
assert(url !== undefined && key !== undefined);
void main(url, key);
