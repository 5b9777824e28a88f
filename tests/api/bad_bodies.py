"""Bodies that are no bodies: malformed, of another type, or with no text or number in them."""

from collections.abc import Iterator

from tests.api.cases import (
    ACCOUNT,
    FORM,
    JSON,
    MERGE_PATCH,
    MULTIPART,
    PARTS_END,
    SECRET,
    UNKNOWN,
    Case,
    account,
    country,
    form,
    item,
    nested,
    part,
    parts,
    price,
    read,
    send,
)

MALFORMED = "400 malformed_body"
UNSUPPORTED = "415 unsupported_media_type"


def malformed_json() -> Iterator[Case]:
    bodies = {
        "NaN": price("NaN"),
        "Infinity": price("Infinity"),
        "-Infinity": price("-Infinity"),
        "NaN alone": b"NaN",
        "empty": b"",
        "white space": b" \r\n\t ",
        "truncated": account()[:-1],
        "truncated text": account()[:-2],
        "truncated escape": b'{"email": "\\u00',
        "followed by more": account() + b"{}",
        "two documents": account() + b"\n" + account(),
        "trailing comma": account()[:-1] + b",}",
        "single quotes": b"{'email': 'a@example.com'}",
        "comment": b"/* */" + account(),
        "leading zero": price("01"),
        "plus": price("+1"),
        "hexadecimal": price("0x1"),
        "bare fraction": price(".5"),
        "line feed in text": country(b'"a\nb"'),
        "NUL raw": country(b'"a\0b"'),
        "NUL before": b"\0" + account(),
        "bad escape": country(rb'"\x41"'),
        "byte order mark": b"\xef\xbb\xbf" + account(),
        "UTF-16": account().decode().encode("utf-16"),
        "Latin-1": country(b'"\xe9' + SECRET.encode() + b'"'),
        "overlong": country(b'"\xc0\x80"'),
        "surrogate in UTF-8": country(b'"\xed\xa0\x80"'),
        "beyond Unicode": country(b'"\xf4\x90\x80\x80"'),
        "65 deep": nested(65),
        "100000 deep": nested(100_000),
        "100000 open": b"[" * 100_000,
        "100000 objects open": b'{"a":' * 100_000,
        "quotes without end": b'"' + b'\\"' * 400_000 + b"[" * 70,
        "1001 values": country(b"[" + b"0," * 996 + b"0]"),
        "100000 fields": b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}",
        "350000 arrays": b"[" + b"[]," * 345_000 + b"[]]",
        "texts side by side": b'""' * 500_000,
    }
    for name, body in bodies.items():
        yield send(name, body, answer=MALFORMED)
    for name in ("NaN", "empty", "65 deep"):
        yield send(name, bodies[name], to=f"PUT {ACCOUNT}", answer=MALFORMED)
        yield send(
            name, bodies[name], to=f"PATCH {ACCOUNT}", media_type=MERGE_PATCH, answer=MALFORMED
        )


def strange_json() -> Iterator[Case]:
    """Well-formed, but no text that can be stored, no number, or no object."""
    yield send("NUL", account(username=f"\0{SECRET}"), "/username invalid_format")
    for escape in (rb"\ud800", rb"\uDC00", rb"\udc00\ud800"):
        body = country(b'"' + escape + SECRET.encode() + b'"')
        yield send(f"lone surrogate {escape!r}", body, "/country invalid_format")
    yield send("lone surrogate in a list", country(rb'["\ud800"]'), "/country wrong_type")
    yield send("NUL in a key", country(rb'null, "x\u0000": 1'), "/x\0 unknown")
    yield send("lone surrogate in a key", country(rb'null, "\ud800": 1'), "/? unknown")
    numbers = ["1e400", "-1e400", "1e-400", "1e9999999999999999999", "7" * 100, "7" * 5000]
    for number in (*numbers, "-" + "7" * 5000, "0." + "7" * 5000):
        yield send(f"number {number[:24]}", price(number), "/price too_large", to="POST /items")
    yield send("1e400 for text", country(b"1e400"), "/country too_large")
    yield send("nesting of 64", nested(64), "/country wrong_type")
    yield send("key twice", country(b'null, "username": "x"'), "/username duplicate")
    thrice = country(b'null, "username": "x", "username": "x"')
    yield send("key thrice", thrice, "/username duplicate")
    yield send("key twice, escaped", country(rb'0, "countr\u0079": "JO"'), "/country duplicate")
    yield send("unknown key twice", country(b'null, "x": 1, "x": 1'), "/x unknown")
    yield send("key twice, deeper", country(b'{"a": 1, "a": 1}'), "/country wrong_type")
    for body in (b"[]", b'"a"', b"1", b"1.5", b"1e16", b"false", b"1e400", rb'"\ud800"'):
        yield send(f"body is {body!r}", body, " wrong_type")
    yield send("body is null", b"null", " null_not_allowed")


def media_types() -> Iterator[Case]:
    yield send("no Content-Type", account(), media_type=None, answer=UNSUPPORTED)
    yield send("no Content-Type, no body", b"", media_type=None, answer=MALFORMED)
    yield read("no body at all", "/accounts", method="POST", answer=MALFORMED)
    yield read("no body at all", ACCOUNT, method="PATCH", answer=MALFORMED)
    wrong = ["", ";", "text/plain", "text/json", "application", "application/", "json", "*/*"]
    wrong += ["application/jsonp", "application/json, text/html", "application/problem+json"]
    wrong += ["multipart/mixed; boundary=XX", "application/json charset=utf-8", MERGE_PATCH]
    for media_type in (*wrong, "\xe9\xff", "application/json\xff"):
        yield send(f"{media_type!a}", account(), media_type=media_type, answer=UNSUPPORTED)
    for body in (account(), b" [1]", b"\n{", b"%7B%22email%22%3A+1%7D", b"%5b]"):
        yield send(f"JSON as a form {body[:9]!a}", body, media_type=FORM, answer=UNSUPPORTED)
    for coding in ("gzip", "GZIP", "identity, br", "x", ", deflate", "identity;q=1"):
        header = (("Content-Encoding", coding),)
        yield send(f"coding {coding}", account(), headers=header, answer=UNSUPPORTED)
        to = f"PATCH {ACCOUNT}"
        yield send(f"coding {coding}", b"{", to=to, headers=header, answer=UNSUPPORTED)
    plain = (("Content-Encoding", "identity, IDENTITY"), ("Content-Encoding", ""))
    yield send("no coding", b"[]", " wrong_type", headers=plain)
    for media_type in (FORM, MULTIPART, "text/plain", "application/json-patch+json"):
        to = f"PATCH {ACCOUNT}"
        yield send(media_type, b"username=x", to=to, media_type=media_type, answer=UNSUPPORTED)
    for media_type in (FORM, MULTIPART, MERGE_PATCH):
        to = f"PUT {ACCOUNT}/favorite"
        yield send(media_type, b"{}", to=to, media_type=media_type, answer=UNSUPPORTED)
    for media_type in ("Application/JSON", f"{JSON} ; charset=latin-1", f"{JSON};"):
        yield send(f"{media_type}, taken", b'"\xc3\xa9"', " wrong_type", media_type=media_type)


def urlencoded() -> Iterator[Case]:
    refused = {
        f"country=%00{SECRET}": ["/country invalid_format"],
        f"country=\0{SECRET}": ["/country invalid_format"],
        f"x%00={SECRET}": ["/x\0 unknown"],
        f"username={SECRET}": ["/username duplicate"],
        "username=": ["/username duplicate"],
        f"x={SECRET}": ["/x unknown"],
        f"={SECRET}": ["/ unknown"],
        "dob=%": ["/dob invalid_format"],
    }
    for pair, faults in refused.items():
        yield send(f"form with {pair!a}", form(pair), *faults, media_type=FORM)
    for pair in ("country=%ff", "country=\xff", "%ff=x", "country=%ED%A0%80"):
        yield send(f"form with {pair!a}", form(pair), media_type=FORM, answer=MALFORMED)
    many = {"101 fields": form(*["x="] * 99), "500000 fields": b"&".join([b"a"] * 500_000)}
    many["1001 bare percent signs"] = form("country=" + "%" * 1001)
    for name, body in many.items():
        yield send(name, body, media_type=FORM, answer=MALFORMED)
    required = ("/email required", "/username required")
    yield send("empty form", b"", *required, media_type=FORM)
    empty = ("/email null_not_allowed", "/username null_not_allowed")
    yield send("empty values", b"email=&username", *empty, media_type=FORM)
    for value, code in {
        "1e3": "invalid_format",
        "-1": "too_small",
        "1.001": "invalid_format",
    }.items():
        body = f"account_id={UNKNOWN}&name=x&image_link=http://a/&price={value}".encode()
        yield send(f"price {value}", body, f"/price {code}", media_type=FORM, to="POST /items")
    versions = {"0": "too_small", "x": "wrong_type", "1.0": "wrong_type", "9" * 5000: "too_large"}
    for value, code in versions.items():
        fault, to = f"/version {code}", f"PUT {ACCOUNT}"
        yield send(f"version {value[:9]}", form(f"version={value}"), fault, media_type=FORM, to=to)


def multipart() -> Iterator[Case]:
    def refused(name: str, body: bytes, *faults: str, more: str = "") -> Case:
        return send(f"parts: {name}", body + PARTS_END, *faults, media_type=MULTIPART + more)

    bad_country = "/country invalid_format"
    yield refused("NUL", parts(part("country", b"\0")), bad_country)
    a_file = part("country", b"JO", '; filename="c.txt"')
    yield refused("file", parts(a_file), "/country wrong_type")
    binary = part("country", b"\xff\0", '; filename=""')
    yield refused("binary file", parts(binary), "/country wrong_type")
    yield refused("unknown file", parts(part("x", b"\xff", '; filename="\xe9"')), "/x unknown")
    yield refused("twice", parts(part("username", b"y")), "/username duplicate")
    field_and_file = parts(part("username", b"y", "; filename=x"))
    yield refused("field and file", field_and_file, "/username duplicate")
    yield refused("none", b"", "/email required", "/username required")
    # The client has no say in the encoding of text.
    for name in ("utf-16", "unicode_escape", "undefined", "idna", "latin-1", "zlib", "x" * 1000):
        body = parts(part("country", rb"\ud800"))
        yield refused(f"charset {name[:20]}", body, bad_country, more=f"; charset={name}")


def malformed_multipart() -> Iterator[Case]:
    bodies = {
        "nothing": b"",
        "JSON": account(),
        "truncated in a value": parts(part("country", b"JO"))[:-3],
        "truncated in a header": parts(b"--XX\r\nContent-Dispo"),
        "no closing boundary": parts(),
        "closing boundary cut": parts(PARTS_END[:-3]),
        "another boundary": parts(PARTS_END).replace(b"--XX", b"--YY"),
        "part without a name": parts(
            b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n", PARTS_END
        ),
        "part without headers": parts(b"--XX\r\n\r\nx\r\n", PARTS_END),
        "header without a colon": parts(b"--XX\r\nnonsense\r\n\r\nx\r\n", PARTS_END),
        "header of 100 kB": parts(b"--XX\r\nX: ", b"x" * 100_000, b"\r\n\r\nx\r\n", PARTS_END),
        "semicolons": parts(part("x", b"", '; filename="' + ";" * 500_000 + '"'), PARTS_END),
        "NUL in a header": parts(b"--XX\r\nX\0: x\r\n\r\nx\r\n", PARTS_END),
        "invalid UTF-8": parts(part("country", b"\xff"), PARTS_END),
        "surrogate": parts(part("country", b"\xed\xa0\x80"), PARTS_END),
        "invalid UTF-8 in a name": parts(part("\xff", b""), PARTS_END),
        "101 parts": parts(part("x", b"") * 99, PARTS_END),
        "boundary and no more": b"--XX\r\n",
        "line feeds alone": parts(PARTS_END).replace(b"\r\n", b"\n"),
    }
    for name, body in bodies.items():
        yield send(f"parts: {name}", body, media_type=MULTIPART, answer=MALFORMED)
    boundaries = ["", "; boundary", "; boundary=", '; boundary=""', "; boundary=\xff"]
    for boundary in (*boundaries, "; boundary=" + "X" * 1000, "; boundary*=utf-8''XX"):
        media_type = f"multipart/form-data{boundary}"
        yield send(media_type[:40], parts(PARTS_END), media_type=media_type, answer=MALFORMED)


def names() -> Iterator[Case]:
    """Names are repeated in pointers and parameters alone, cut at 100 characters."""
    huge, cut = "n" * 200_000, "n" * 100
    yield send("huge name", account(**{huge: SECRET}), f"/{cut} unknown")
    yield send("huge name in a form", form(f"{huge}={SECRET}"), f"/{cut} unknown", media_type=FORM)
    twins = {f"{huge}{number}": SECRET for number in range(3)}
    yield send("names that are cut to one", account(**twins), f"/{cut} unknown")
    tildes = account(**{"~" * 101: SECRET})
    yield send("a long name of tildes", tildes, f"/{'~0' * 100} unknown")
    many = [f"field{number}" for number in range(990)]
    body = account(**dict.fromkeys(many, SECRET))
    yield send("990 unknown fields", body, *(f"/{name} unknown" for name in many))
    yield send("a slash and a tilde", account(**{"a/b~c": SECRET}), "/a~1b~0c unknown")
    yield send("no name", account(**{"": SECRET}), "/ unknown")
    yield send("__proto__", account(__proto__={"admin": True}), "/__proto__ unknown")


def together() -> Iterator[Case]:
    """All faults of a request come in one answer, each place once."""
    body = b'{"email": 0, "dob": "x", "b": 1}'
    faults = ["/email wrong_type", "/username required", "/dob invalid_format", "/b unknown"]
    query = ["?b unknown", "?limit unknown"]
    yield send("body and query", body, *faults, *query, to="POST /accounts?b=1&limit=5")
    faults = ["/email wrong_type", "/username required", "/id read_only"]
    body = b'{"email": 0, "id": "%s"}' % UNKNOWN.encode()
    places = ["?account_id invalid_format", "?x unknown"]
    yield send("path, query and body", body, *faults, *places, to="PUT /accounts/nobody?x=1")
    faults = ["/id read_only", "/email invalid_format"]
    yield send("another id", account(id=UNKNOWN, email=SECRET), *faults, to=f"PUT {ACCOUNT}")
    yield send("another id alone", account(id=UNKNOWN), faults[0], to=f"PUT {ACCOUNT}")
    yield send("another id", item(id=SECRET), faults[0], to="PATCH /items/{item}")
    yield send("both without a name", b"[]", " wrong_type", "? unknown", to="POST /accounts?=1")
