# Sends the requests that tests/sdks/test_round_trips.py lists, with the generated SDK.

require "satchel"

LAMP = "https://example.com/lamp.jpg"

def expect(holds, found = nil)
  raise found.inspect unless holds
end

def expect_status(answer, status)
  data, found, _headers = answer
  expect(found == status, found)
  data
end

def expect_problem(status, code)
  yield
rescue Satchel::ApiError => error
  problem = Satchel::Problem.build_from_hash(JSON.parse(error.response_body, symbolize_names: true))
  expect([error.code, problem.code] == [status, code], problem)
  problem
else
  raise "no problem"
end

Satchel.configure do |configuration|
  configuration.server_index = nil # the URL is this one, not that of the document
  configuration.scheme, configuration.host = ARGV[0].split("://")
  configuration.access_token = ARGV[1]
  configuration.params_encoding = :multi # a list is a parameter that is repeated
end
accounts = Satchel::AccountsApi.new
items = Satchel::ItemsApi.new

# Create.
birth = Date.new(1990, 5, 17)
body = Satchel::AccountCreate.new(
  email: "ada@example.com",
  username: "ada",
  dob: birth,
  country: "Jordan",
  phone_number: "0790000000",
)
ada = expect_status(accounts.create_account_with_http_info(body), 201)
expect([ada.country, ada.dob, ada.version] == ["JO", birth, 1], ada)
body = Satchel::AccountCreate.new(email: "bob@example.com", username: "bob")
bob = expect_status(accounts.create_account_with_http_info(body), 201)
{ "Brass lamp" => 1234567.89, "Clock" => "19.9" }.each do |name, price|
  item = Satchel::ItemCreate.new(account_id: ada.id, name: name, price: price, image_link: LAMP)
  expect_status(items.create_item_with_http_info(item), 201)
end

# Read.
read = expect_status(accounts.retrieve_account_with_http_info(ada.id), 200)
expect(read == ada, read)

# List: two sorts, and filters.
dear = items.list_items(sort: "-price", account_id: ada.id).data
expect(dear.map(&:price) == ["1234567.89", "19.90"], dear)
found = items.list_items(sort: "name", q: "lamp", price_gte: "20").data
expect(found.map(&:name) == ["Brass lamp"], found)
page = accounts.list_accounts(
  sort: "email",
  count: "exact",
  country: ["FR", "JO"],
  created_gte: ada.created.iso8601(6),
  dob_lte: birth,
)
expect(page.data == [ada] && page.count == 1, page)

# Walk, one row a page.
first = accounts.list_accounts(sort: "-username", limit: 1)
second = accounts.list_accounts(sort: "-username", limit: 1, cursor: first.next_cursor)
expect([first.data, second.data, second.next_cursor] == [[bob], [ada], nil], [first, second])

# Change: what is left out stays, null clears.
rename = Satchel::AccountChange.new(username: "lovelace")
changed = accounts.change_account(ada.id, rename)
expect([changed.username, changed.country] == ["lovelace", "JO"], changed)
clear = Satchel::AccountChange.new(country: nil)
changed = accounts.change_account(ada.id, clear, if_match: '"2"')
expect([changed.country, changed.phone_number] == [nil, "+962790000000"], changed)

# Problems.
expect_problem(412, "stale_version") { accounts.change_account(ada.id, rename, if_match: '"1"') }
body = Satchel::AccountCreate.new(email: "nobody@localhost", username: "nobody")
problem = expect_problem(422, "invalid_request") { accounts.create_account(body) }
expect(problem.errors[0].pointer == "/email", problem)
expect_status(accounts.delete_account_with_http_info(ada.id, cascade: true), 204)
expect_problem(404, "account_not_found") { accounts.retrieve_account(ada.id) }
