"""Paths, queries, headers and methods that no operation takes."""

from collections.abc import Iterator

from tests.api.cases import ACCOUNT, ITEM, SECRET, UNKNOWN, Case, account, item, read, send

QUERIES = {
    "limit=0": "?limit too_small",
    "limit=201": "?limit too_large",
    "limit=-1": "?limit too_small",
    "limit=1e3": "?limit wrong_type",
    "limit=": "?limit wrong_type",
    "limit": "?limit wrong_type",
    "limit=5&limit=5": "?limit duplicate",
    "limit=%00": "?limit invalid_format",
    "limit=5.0": "?limit wrong_type",
    "limit=+5": "?limit wrong_type",
    "limit=%D9%A3": "?limit wrong_type",
    f"limit={SECRET}": "?limit wrong_type",
    "limit=" + "9" * 5000: "?limit wrong_type",
    "LIMIT=5": "?LIMIT unknown",
    "limit%00=5": "?limit\0 unknown",
    "limit[]=5": "?limit[] unknown",
    "=5": "? unknown",
    "%ff=5": "?? unknown",
    f"x={SECRET}&x=2": "?x unknown",
    "x": "?x unknown",
    "count=all": "?count invalid_format",
    "count=": "?count invalid_format",
    "count=exact&count=none": "?count duplicate",
    "sort=id": "?sort invalid_format",
    "sort=--created": "?sort invalid_format",
    f"sort={SECRET}": "?sort invalid_format",
    "sort=created,email": "?sort invalid_format",
    "sort=created&sort=email": "?sort duplicate",
    f"username=%00{SECRET}": "?username invalid_format",
    f"username=%ff{SECRET}": "?username invalid_format",
    "username=%ED%A0%80": "?username invalid_format",
    "username=": "?username too_short",
    "username=a&username=b": "?username duplicate",
    "username=" + "x" * 5000: "?username too_long",
    f"country={SECRET}": "?country invalid_format",
    "country=": "?country invalid_format",
    "country=JO&country=%00": "?country invalid_format",
    "country=JO&country=nowhere": "?country invalid_format",
    "&".join(["country=JO"] * 51): "?country too_long",
    "&".join(["country=JO", "country[]=JO", "country%5b%5D=JO"] * 17): "?country too_long",
    f"country[]={SECRET}": "?country invalid_format",
    "country%5B%5D=%00": "?country invalid_format",
    "country[]": "?country invalid_format",
    "country[0]=JO": "?country[0] unknown",
    "country[][]=JO": "?country[][] unknown",
    "[]=JO": "?[] unknown",
    "dob_gte=0": "?dob_gte invalid_format",
    "dob_lte=1990-02-30": "?dob_lte invalid_format",
    "created_gte=2026-01-31T09:30:00": "?created_gte invalid_format",
    "created_gte=0001-01-01T00:00:00%2B14:00": "?created_gte invalid_format",
    "created_lt=9999-12-31T23:59:59-12:00": "?created_lt invalid_format",
    "created_lt=1900-02-29T00:00:00Z": "?created_lt invalid_format",
    "created_lt=2026-01-31T25:00:00Z": "?created_lt invalid_format",
    "created_lt=2026-01-31T09:30:60Z": "?created_lt invalid_format",
    "created_lt=2026-01-31T09:30:00%2B99:99": "?created_lt invalid_format",
    "created_lt=2026-01-31T09:30:00." + "0" * 99 + "Z": "?created_lt too_long",
    "created_lt=1767225600": "?created_lt invalid_format",
    "updated_lt=2026-01-31T09:30:00Z&updated_lt=x": "?updated_lt duplicate",
    "cursor=" + "x" * 2001: "?cursor too_long",
    "cursor=x&cursor=x": "?cursor duplicate",
    "cursor=%00": "?cursor invalid_format",
}
ITEM_QUERIES = {
    "price_gte=NaN": "?price_gte invalid_format",
    "price_gte=-1": "?price_gte too_small",
    "price_lte=1e400": "?price_lte invalid_format",
    "price_lte=10000000000": "?price_lte too_large",
    "price_lte=0.001": "?price_lte invalid_format",
    "account_id=5": "?account_id invalid_format",
    "account_id=": "?account_id invalid_format",
    "q=%00": "?q invalid_format",
    "q=": "?q too_short",
    "name_prefix=%ff": "?name_prefix invalid_format",
}
DELETE_QUERIES = {
    "cascade=2": "?cascade wrong_type",
    "cascade=yes": "?cascade wrong_type",
    "cascade=": "?cascade wrong_type",
    "cascade[]=true": "?cascade[] unknown",
    "cascade=true&cascade=false": "?cascade duplicate",
    "x=1": "?x unknown",
}


def queries() -> Iterator[Case]:
    tables = {
        "GET /accounts": QUERIES,
        "GET /items": ITEM_QUERIES,
        f"GET {ACCOUNT}": {"limit=5": "?limit unknown"},
        f"DELETE {ACCOUNT}": DELETE_QUERIES,
    }
    for operation, table in tables.items():
        method, _, path = operation.partition(" ")
        for query, fault in table.items():
            yield read(query[:50], f"{path}?{query}", fault, method=method)
    for to in ("POST /accounts?x=1", f"PATCH {ACCOUNT}?x=1"):
        yield send("with a parameter", account(), "?x unknown", to=to)
    faults = ("?limit too_small", "?x unknown", "?sort invalid_format", "?count duplicate")
    yield read("several", "/accounts?limit=0&x=1&sort=x&count=exact&count=x", *faults)
    together = ("?cursor invalid_format", "?limit too_small")
    yield read("a cursor and more", f"/accounts?cursor={SECRET}&limit=0", *together)
    together = ("?cursor invalid_format", "?account_id invalid_format")
    yield read("a cursor and the path", f"/accounts/nobody/items?cursor={SECRET}", *together)
    together = ("?cursor invalid_format", "?x unknown")
    yield read("a cursor and a name", f"{ITEM}/wished-by?cursor={SECRET}&x=1", *together)
    huge = "n" * 30_000
    yield read("huge name", f"/accounts?{huge}={SECRET}", f"?{huge[:100]} unknown")
    for count in (200, 300):
        many = [f"p{number}" for number in range(count)]
        target = "/accounts?" + "&".join(f"{name}={SECRET}" for name in many)
        yield read(f"{count} parameters", target, *(f"?{name} unknown" for name in many))
    beyond = ("?p300 too_long", *(f"?{name} unknown" for name in many))
    yield read("301 parameters", f"{target}&p300={SECRET}&p301", *beyond)
    repeated = "country=JO&" * 300
    yield read("301 equal parameters", f"/accounts?{repeated}country=JO", "?country too_long")
    for cursor in ("", "x", "!", "=", "AAAA", "A" * 1999, "..", "null", "W1tbW1tbW1tb" * 100):
        answer, fault = "422 invalid_cursor", "?cursor invalid_format"
        yield read(f"cursor {cursor[:12]}", f"/accounts?cursor={cursor}", fault, answer=answer)


def paths() -> Iterator[Case]:
    ids = ["nobody", "1", UNKNOWN[1:], UNKNOWN + "0", UNKNOWN.replace("-", ""), "-" * 36, "z" * 36]
    ids += ["%00", UNKNOWN + "%00", "%ff", "%ED%A0%80", UNKNOWN + "%0A", "%0A", "%C3%A9", "%20"]
    ids += [f"%7B{UNKNOWN}%7D", "..", "%2e%2e", "'%20OR%201=1", "x" * 10_000, "%EF%BC%90" * 36]
    for malformed in ids:
        target, fault = f"/accounts/{malformed}", "?account_id invalid_format"
        yield read(f"{malformed[:45]}", target, fault)
        yield read(f"{malformed[:45]}", target, fault, method="DELETE")
    yield send("malformed id", account(), "?account_id invalid_format", to="PUT /accounts/nobody")
    yield send("malformed id", b"{}", "?item_id invalid_format", to="PATCH /items/nobody")
    both = ("?account_id invalid_format", "?item_id invalid_format")
    yield read("both ids of a wish", "/accounts/a/wishes/b", *both)

    no_account, no_item = "404 account_not_found", "404 item_not_found"
    for unknown in (UNKNOWN, UNKNOWN.upper(), "00000000-0000-0000-0000-000000000000"):
        yield read("unknown id", f"/accounts/{unknown}", answer=no_account)
    yield send("unknown id", account(), to=f"PUT /accounts/{UNKNOWN}", answer=no_account)
    yield send("unknown id", b"{}", to=f"PATCH /items/{UNKNOWN}", answer=no_item)
    yield read("unknown id", f"/items/{UNKNOWN}", method="DELETE", answer=no_item)
    unknown_owner = "422 account_not_found"
    yield send(
        "unknown owner", item(), "/account_id not_found", to="POST /items", answer=unknown_owner
    )

    nowhere = ["/accounts/", "/items/", f"{ACCOUNT}/", f"{ACCOUNT}%2F", "//accounts", "/accounts//"]
    nowhere += ["/Accounts", "/accounts%0A", "/accounts%00", "/%00", "/%ff", "/account"]
    nowhere += [f"{ACCOUNT}/nothing", f"{ITEM}/favorited-by%0A", "/docs/assets/../../config.py"]
    for target in (*nowhere, "/" + "x" * 30_000):
        yield read(target[:50], target, answer="404 not_found")


def methods() -> Iterator[Case]:
    targets = ["PUT /accounts", "DELETE /items", "PATCH /accounts", f"POST {ACCOUNT}", "POST /"]
    targets += ["POST /items/nobody", "POST /livez", "PROPFIND /accounts", "TRACE /accounts"]
    for to in (
        *targets,
        "DELETE /openapi.json",
        "PUT /openapi.sdk.json",
        "POST /problems/internal",
    ):
        yield send("not taken", account(), to=to, answer="405 method_not_allowed")


MALFORMED_TAGS = [
    *(
        "",
        '"',
        "1",
        '"1',
        '1"',
        "W/1",
        'w/"1"',
        'W "1"',
        '"1" "2"',
        '"1""2"',
        '"1";"2"',
        ",",
        ", ,",
    ),
    *("*, *", '*, "1"', "**", '"1", x', '"a b"', '"\\""', "\xff", f'"{SECRET}', "\xa0*"),
    '"1"' + " ,   " * 2000 + "x",
    ",".join(f'"{number}"' for number in range(1, 1002)),
]
STALE_TAGS = [
    *('"0"', '"01"', '"7"', '"2147483648"', '"9999999999"', '"99999999999999999999"', '"x"', '""'),
    *('W/"1"', 'W/"*"', '"*"', '"1.0"', ', ,"7", W/"1" ,', '"1\xe9"'),
    ",".join(f'"{number}"' for number in range(2, 1002)),
]
# What the service has no use for, it does not stumble over.
HARMLESS = [
    *(("X-Request-ID", f"{SECRET}   x"), ("X-Request-ID", "x" * 129), ("X-Request-ID", "")),
    *(("X-Request-ID", "\xff"), ("X-Request-ID", f"{SECRET};"), ("Accept", "\xff, text/none;q=x")),
    *(("Accept-Encoding", "gzip;q=nan"), ("Cookie", "a=" + "b" * 50_000)),
    *(("Origin", "null"), ("Authorization", f"Bearer {SECRET}"), ("traceparent", SECRET)),
    *(("Range", "bytes=0-"), ("X-HTTP-Method-Override", "DELETE"), ("Forwarded", "for=\xff")),
    *(("Expect", "\xff"), ("X-Forwarded-For", SECRET), ("X-Forwarded-Proto", SECRET)),
    *(("Content-Encoding", "gzip"), ("Connection", "\xff, ,"), ("If-Modified-Since", SECRET)),
]


def headers() -> Iterator[Case]:
    malformed = "400 malformed_header"
    for tags in MALFORMED_TAGS:
        name, header = f"If-Match {tags[:20]!a}", (("If-Match", tags),)
        fault = "If-Match: invalid_format"
        yield send(name, account(), fault, to=f"PUT {ACCOUNT}", headers=header, answer=malformed)
        yield read(name, ITEM, fault, method="DELETE", headers=header, answer=malformed)
        header, fault = (("If-None-Match", tags),), "If-None-Match: invalid_format"
        yield read(f"If-None-Match {tags[:20]!a}", ACCOUNT, fault, headers=header, answer=malformed)
    twice = (("If-Match", "*"), ("If-Match", '"1"'))
    fault = "If-Match: invalid_format"
    yield read("If-Match twice", ITEM, fault, method="DELETE", headers=twice, answer=malformed)
    for tags in STALE_TAGS:
        to, header = f"PUT {ACCOUNT}", (("If-Match", tags),)
        yield send(
            f"If-Match {tags[:20]!a}", account(), to=to, headers=header, answer="412 stale_version"
        )
    keys = [*([key] for key in ("", "\xe9", "a\tb", "k" * 256)), ["a", "a"]]
    for given in keys:
        sent = tuple(("Idempotency-Key", key) for key in given)
        fault = "Idempotency-Key: invalid_format"
        name = f"Idempotency-Key {given!a}"[:40]
        yield send(name, account(), fault, headers=sent, answer=malformed)
    for field in HARMLESS:
        target, answer = f"/accounts/{UNKNOWN}", "404 account_not_found"
        yield read(f"{field!a}"[:50], target, headers=(field,), answer=answer)
