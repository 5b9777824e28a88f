// Sends the requests that tests/sdks/test_round_trips.py lists, with the generated SDK.

import assert from "node:assert/strict";
import {
  AccountsApi,
  type ApiResponse,
  Configuration,
  ItemsApi,
  ListAccountsCountEnum,
  ListAccountsSortEnum,
  ListItemsSortEnum,
  type Problem,
  ProblemFromJSON,
  ResponseError,
} from "./satchel";

const imageLink = "https://example.com/lamp.jpg";

async function expect<T>(answer: Promise<ApiResponse<T>>, status: number): Promise<T> {
  const found = await answer;
  assert.equal(found.raw.status, status);
  return found.value();
}

async function expectProblem(
  answer: Promise<unknown>,
  status: number,
  code: string,
): Promise<Problem> {
  const error: unknown = await answer.then(() => null, (reason: unknown) => reason);
  assert(error instanceof ResponseError, String(error));
  const problem = ProblemFromJSON(await error.response.json());
  assert.deepEqual([error.response.status, problem.code], [status, code]);
  return problem;
}

async function main(basePath: string, accessToken: string): Promise<void> {
  const configuration = new Configuration({ basePath, accessToken });
  const accounts = new AccountsApi(configuration);
  const items = new ItemsApi(configuration);

  // Create.
  const dob = new Date("1990-05-17");
  const person = { dob, country: "Jordan", phoneNumber: "0790000000" };
  const ada = await expect(
    accounts.createAccountRaw({
      accountCreate: { email: "ada@example.com", username: "ada", ...person },
    }),
    201,
  );
  assert.deepEqual([ada.country, ada.dob, ada.version], ["JO", dob, 1]);
  const bob = await expect(
    accounts.createAccountRaw({ accountCreate: { email: "bob@example.com", username: "bob" } }),
    201,
  );
  const accountId = ada.id;
  for (const [name, price] of [["Brass lamp", 1234567.89], ["Clock", "19.9"]] as const) {
    const itemCreate = { accountId, name, price, imageLink };
    await expect(items.createItemRaw({ itemCreate }), 201);
  }

  // Read.
  assert.deepEqual(await expect(accounts.retrieveAccountRaw({ accountId }), 200), ada);

  // List: two sorts, and filters.
  const dear = await items.listItems({ sort: ListItemsSortEnum.price_desc, accountId });
  assert.deepEqual(dear.data.map((item) => item.price), ["1234567.89", "19.90"]);
  const found = await items.listItems({
    sort: ListItemsSortEnum.name_asc,
    q: "lamp",
    priceGte: "20",
  });
  assert.deepEqual(found.data.map((item) => item.name), ["Brass lamp"]);
  const page = await accounts.listAccounts({
    sort: ListAccountsSortEnum.email_asc,
    count: ListAccountsCountEnum.Exact,
    country: ["FR", "JO"],
    createdGte: ada.created,
    dobLte: dob,
  });
  assert.deepEqual([page.data, page.count], [[ada], 1]);

  // Walk, one row a page.
  const walk = { sort: ListAccountsSortEnum.username_desc, limit: 1 };
  const first = await accounts.listAccounts(walk);
  assert(first.nextCursor !== null);
  const second = await accounts.listAccounts({ ...walk, cursor: first.nextCursor });
  assert.deepEqual([first.data, second.data, second.nextCursor], [[bob], [ada], null]);

  // Change: what is left out stays, null clears.
  const rename = { accountId, accountChange: { username: "lovelace" } };
  const renamed = await accounts.changeAccount(rename);
  assert.deepEqual([renamed.username, renamed.country], ["lovelace", "JO"]);
  const clear = { accountId, accountChange: { country: null }, ifMatch: '"2"' };
  const cleared = await accounts.changeAccount(clear);
  assert.deepEqual([cleared.country, cleared.phoneNumber], [null, "+962790000000"]);

  // Problems.
  const stale = accounts.changeAccount({ ...rename, ifMatch: '"1"' });
  await expectProblem(stale, 412, "stale_version");
  const wrong = { accountCreate: { email: "nobody@localhost", username: "nobody" } };
  const problem = await expectProblem(accounts.createAccount(wrong), 422, "invalid_request");
  assert.equal(problem.errors[0]?.pointer, "/email");
  await expect(accounts.deleteAccountRaw({ accountId, cascade: true }), 204);
  await expectProblem(accounts.retrieveAccount({ accountId }), 404, "account_not_found");
}

const [url, key] = process.argv.slice(2);
assert(url !== undefined && key !== undefined);
void main(url, key);
