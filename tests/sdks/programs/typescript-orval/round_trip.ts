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
} from "./satchel/api";

const image_link = "https://example.com/lamp.jpg";

type Answer = { status: number; data: unknown };

/** The data of an answer with this status, which narrows its type. */
async function expect<A extends Answer, S extends A["status"]>(
  answer: Promise<A>,
  status: S,
): Promise<Extract<A, { status: S }>["data"]> {
  const found = await answer;
  assert.equal(found.status, status, JSON.stringify(found.data));
  return found.data as Extract<A, { status: S }>["data"];
}

async function expectProblem<A extends Answer>(
  answer: Promise<A>,
  status: A["status"],
  code: string,
): Promise<Problem> {
  const problem = (await expect(answer, status)) as Problem;
  assert.equal(problem.code, code);
  return problem;
}

async function main(): Promise<void> {
  // Create.
  const person = { dob: "1990-05-17", country: "Jordan", phone_number: "0790000000" };
  const ada = await expect(
    createAccount({ email: "ada@example.com", username: "ada", ...person }),
    201,
  );
  assert.deepEqual([ada.country, ada.dob, ada.version], ["JO", "1990-05-17", 1]);
  const bob = await expect(createAccount({ email: "bob@example.com", username: "bob" }), 201);
  const account_id = ada.id;
  for (const [name, price] of [["Brass lamp", 1234567.89], ["Clock", "19.9"]] as const) {
    await expect(createItem({ account_id, name, price, image_link }), 201);
  }

  // Read.
  assert.deepEqual(await expect(retrieveAccount(account_id), 200), ada);

  // List: two sorts, and filters.
  const dear = await expect(listItems({ sort: "-price", account_id }), 200);
  assert.deepEqual(dear.data.map((item) => item.price), ["1234567.89", "19.90"]);
  const found = await expect(listItems({ sort: "name", q: "lamp", price_gte: "20" }), 200);
  assert.deepEqual(found.data.map((item) => item.name), ["Brass lamp"]);
  const page = await expect(
    listAccounts({
      sort: "email",
      count: "exact",
      country: ["FR", "JO"],
      created_gte: ada.created,
      dob_lte: "1990-05-17",
    }),
    200,
  );
  assert.deepEqual([page.data, page.count], [[ada], 1]);

  // Walk, one row a page.
  const walk = { sort: "-username", limit: 1 } as const;
  const first = await expect(listAccounts(walk), 200);
  assert(first.next_cursor !== null);
  const second = await expect(listAccounts({ ...walk, cursor: first.next_cursor }), 200);
  assert.deepEqual([first.data, second.data, second.next_cursor], [[bob], [ada], null]);

  // Change: what is left out stays, null clears.
  const rename = { username: "lovelace" };
  const renamed = await expect(changeAccount(account_id, rename), 200);
  assert.deepEqual([renamed.username, renamed.country], ["lovelace", "JO"]);
  const current = { headers: { "If-Match": '"2"' } };
  const cleared = await expect(changeAccount(account_id, { country: null }, {}, current), 200);
  assert.deepEqual([cleared.country, cleared.phone_number], [null, "+962790000000"]);

  // Problems.
  const stale = { headers: { "If-Match": '"1"' } };
  await expectProblem(changeAccount(account_id, rename, {}, stale), 412, "stale_version");
  const problem = await expectProblem(
    createAccount({ email: "nobody@localhost", username: "nobody" }),
    422,
    "invalid_request",
  );
  assert.equal(problem.errors[0]?.pointer, "/email");
  await expect(deleteAccount(account_id, { cascade: true }), 204);
  await expectProblem(retrieveAccount(account_id), 404, "account_not_found");
}

void main();
