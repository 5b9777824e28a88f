-- The requests that wrk sends: random ids, pages, countries and bodies, a new one each time.
-- Arguments: the file of a contestant's targets, the operation, a number no other run has.

local targets, operation, run
local count = 0
local requests = {}

local function prepare(paths)
  local prepared = {}
  for index, path in ipairs(paths) do
    prepared[index] = wrk.format("GET", path, targets.headers)
  end
  return prepared
end

local function any(list)
  return list[math.random(#list)]
end

local function body(person)
  if targets.form then
    return string.format(
      "email=%s&username=%s&dob=%s&country=%s&phone_number=%s",
      person.email:gsub("@", "%%40"), person.username, person.dob, person.country,
      person.phone_number:gsub("+", "%%2B"))
  end
  return string.format(
    '{"email":"%s","username":"%s","dob":"%s","country":"%s","phone_number":"%s"}',
    person.email, person.username, person.dob, person.country, person.phone_number)
end

local function headers()
  local sent = { ["Content-Type"] = "application/json" }
  if targets.form then
    sent["Content-Type"] = "application/x-www-form-urlencoded"
  end
  for name, value in pairs(targets.headers) do
    sent[name] = value
  end
  return sent
end

local make = {}

function make.get() return any(requests.get) end
function make.list() return any(requests.list) end
function make.filter() return any(requests.filter) end

function make.create()
  count = count + 1
  local name = string.format("new%d-%d", run, count)
  local place = math.random(#targets.countries)
  local domain = any(targets.domains):gsub("#", run .. "-" .. count)
  local text = body {
    email = name .. "@" .. domain, username = name, dob = "1990-05-17",
    country = targets.countries[place],
    phone_number = string.format("%s%04d", targets.phones[place], math.random(0, 9999)),
  }
  return wrk.format("POST", targets.accounts, headers(), text)
end

function make.change()
  count = count + 1
  local person = any(targets.people)
  person.username = string.format("changed%d-%d", run, count)
  local path = targets.accounts .. "/" .. person.id
  if targets.form then -- the tutorial knows PUT alone, which takes the whole account
    return wrk.format("PUT", path, headers(), body(person))
  end
  return wrk.format("PATCH", path, headers(), '{"username":"' .. person.username .. '"}')
end

function make.mixed()
  local part = math.random(100)
  if part <= 80 then return make.get() end
  if part <= 95 then return make.list() end
  return make.create()
end

function init(args)
  targets, operation, run = dofile(args[1]), args[2], tonumber(args[3])
  math.randomseed(run)
  requests = {
    get = prepare(targets.get), list = prepare(targets.list), filter = prepare(targets.filter),
  }
  io.write("ready\n")
  io.flush()
end

function request()
  return make[operation]()
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"bytes":%d,"p50_ms":%.3f,"p99_ms":%.3f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
