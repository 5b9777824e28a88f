"""What is promised of writes."""

import json
from concurrent.futures import ThreadPoolExecutor

from benchmarks.answers import expect
from benchmarks.client import Client
from benchmarks.promises.asking import NOBODY, NUMBERS, change, create, expect_problem


def check_created(client: Client) -> None:
    answer = create(client)
    row = answer.json
    expect("the status of a create", found=answer.status, wanted=201)
    expect("Location", found=answer.headers["location"], wanted=f"/accounts/{row['id']}")
    expect("the ETag of a create", found=answer.headers["etag"], wanted='"1"')
    expect("the version of the id", found=row["id"][14], wanted="7")
    taken = create(client, json.dumps({"email": row["email"].upper(), "username": "x"}))
    expect_problem(taken, 409, "email_taken", "/email not_unique")


def check_strict_bodies(client: Client) -> None:
    syntax = {"email": "nobody", "username": "x", "phone_number": "+1 2", "x": 1}
    errors = ["/email invalid_format", "/phone_number invalid_format", "/x unknown"]
    expect_problem(create(client, json.dumps(syntax)), 422, "invalid_request", *errors)
    values = {"email": 1, "dob": "2999-01-01", "country": "XX"}
    errors = ["/email wrong_type", "/username required", "/dob too_large"]
    errors += ["/country invalid_format"]
    expect_problem(create(client, json.dumps(values)), 422, "invalid_request", *errors)
    twice = '{"email": "twice@mail.example", "username": "x", "username": "a\\":\\\\", "dob": null}'
    expect_problem(create(client, twice), 422, "invalid_request", "/username duplicate")
    for malformed in ("{", "[" * 100 + "]" * 100):
        expect_problem(create(client, malformed), 400, "malformed_body")
    text = client.ask("POST", "/accounts", "{}", {"Content-Type": "text/plain"})
    expect_problem(text, 415, "unsupported_media_type")


def check_idempotency(client: Client) -> None:
    name = f"promised{next(NUMBERS)}"
    body = json.dumps({"email": f"{name}@mail.example", "username": name})
    key = {"Idempotency_Key": name}
    refused = create(client, '{"email": "nobody", "username": "x"}', **key)
    expect_problem(refused, 422, "invalid_request", "/email invalid_format")
    with ThreadPoolExecutor() as threads:
        first = list(threads.map(lambda _: create(client, body, **key), range(4)))
    created = [one for one in first if one.status == 201]
    in_flight = [one for one in first if one.status == 409]
    expect("the statuses", found=len(created) + len(in_flight), wanted=len(first))
    for answer in in_flight:
        expect_problem(answer, 409, "idempotency_in_flight")
    fresh = [one for one in created if "idempotency-replayed" not in one.headers]
    expect("the number of effects", found=len(fresh), wanted=1)
    again = create(client, body.replace(", ", ",  "), **key)
    expect("a repeat", found=again.headers["idempotency-replayed"], wanted="true")
    for part in ("location", "etag"):
        expect(f"{part} again", found=again.headers[part], wanted=fresh[0].headers[part])
    expect("the body of a repeat", found=again.body, wanted=fresh[0].body)
    expect_problem(create(client, **key), 422, "idempotency_key_reused")


def check_changes(client: Client) -> None:
    created = create(client)
    path, row = created.headers["location"], created.json
    same = change(client, path, {"username": row["username"]})
    expect("a change to what is there", found=same.json, wanted=row)
    expect("its ETag", found=same.headers["etag"], wanted='"1"')
    expect_problem(change(client, path, {"username": None}), 422, "invalid_request")
    other = change(client, path, {"username": "other", "version": 1})
    expect("the ETag of a change", found=other.headers["etag"], wanted='"2"')
    expect("a change moves `updated`", found=other.json["updated"] > row["updated"], wanted=True)
    expect_problem(change(client, NOBODY, {"username": "x"}), 404, "account_not_found")


def check_conditional_changes(client: Client) -> None:
    path = create(client).headers["location"]
    with ThreadPoolExecutor() as threads:
        answers = list(
            threads.map(
                lambda n: change(client, path, {"username": f"n{n}"}, If_Match='"1"'), range(8)
            )
        )
    won = [answer for answer in answers if answer.status == 200]
    expect("how many of one version changed it", found=len(won), wanted=1)
    for answer in answers:
        if answer is not won[0]:
            expect_problem(answer, 412, "stale_version")
            expect("the ETag of the version there", found=answer.headers["etag"], wanted='"2"')
    for headers in ({"If_Match": 'W/"2"'}, {"If_None_Match": '"2"'}, {"If_None_Match": "*"}):
        expect_problem(change(client, path, {"username": "x"}, **headers), 412, "stale_version")
    malformed = change(client, path, {"username": "x"}, If_Match="2")
    expect_problem(malformed, 400, "malformed_header")
    matched = change(client, path, {"username": "x"}, If_Match='"1", "2"')
    expect("the ETag after If-Match", found=matched.headers["etag"], wanted='"3"')
