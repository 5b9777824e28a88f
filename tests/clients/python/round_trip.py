"""Calls every operation on accounts, items and links with the generated client.

It prints its requests, one per line. It runs in an environment of its own, with the client
generated as `satchel_client`.
"""

import datetime as dt
import io
import json
import sys
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from satchel_client import AuthenticatedClient
from satchel_client.api.accounts import (
    batch_create_accounts,
    batch_delete_accounts,
    batch_get_accounts,
    batch_update_accounts,
    change_account,
    create_account,
    delete_account,
    export_accounts,
    import_accounts,
    list_accounts,
    replace_account,
    retrieve_account,
)
from satchel_client.api.favorites import (
    delete_favorite,
    list_favorited_by,
    put_favorite,
    retrieve_favorite,
)
from satchel_client.api.items import (
    batch_create_items,
    batch_delete_items,
    batch_get_items,
    batch_update_items,
    change_item,
    create_item,
    delete_item,
    export_items,
    import_items,
    list_account_items,
    list_items,
    replace_item,
    retrieve_item,
)
from satchel_client.api.reservations import (
    delete_reservation,
    put_reservation,
    retrieve_item_reservation,
    retrieve_reservation,
)
from satchel_client.api.wishes import (
    delete_wish,
    list_wished_by,
    list_wishes,
    put_wish,
    retrieve_wish,
)
from satchel_client.models import (
    AccountBatch,
    AccountBatchChange,
    AccountBatchCreate,
    AccountBatchFound,
    AccountBatchUpdate,
    AccountChange,
    AccountCreate,
    AccountCreateForm,
    AccountCreateMultipart,
    AccountLink,
    AccountLinkPage,
    AccountPage,
    AccountRead,
    AccountReplace,
    AccountReplaceForm,
    AccountWishPage,
    BatchDelete,
    ExportAccountsSort,
    ExportItemsFormat,
    Fault,
    ImportAccountsOnConflict,
    ImportReport,
    ItemBatch,
    ItemBatchChange,
    ItemBatchCreate,
    ItemBatchFound,
    ItemBatchUpdate,
    ItemChange,
    ItemCreate,
    ItemCreateForm,
    ItemCreateMultipart,
    ItemLink,
    ItemPage,
    ItemRead,
    ItemReplace,
    ItemReplaceMultipart,
    ItemWish,
    ItemWishPage,
    LinkReplace,
    ListAccountsCount,
    ListAccountsSort,
    ListItemsSort,
    Problem,
    RowVersion,
    WishReplace,
)
from satchel_client.types import UNSET, File, Response

T = TypeVar("T")
LAMP = "https://example.com/lamp.jpg"


def expect(answer: Response[Any], status: int, kind: type[T]) -> T:
    assert answer.status_code == status, (answer.status_code, answer.content)
    assert isinstance(answer.parsed, kind), answer.parsed
    return answer.parsed


def text_of(answer: Response[Any]) -> str:
    """Of a file, which config.yml makes the client read as bytes."""
    assert answer.status_code == 200, (answer.status_code, answer.content)
    return answer.content.decode()


def expect_nothing(answer: Response[Any], status: int = 204) -> None:
    assert (answer.status_code, answer.content) == (status, b""), answer


def expect_problem(answer: Response[Any], status: int, code: str) -> Problem:
    problem = expect(answer, status, Problem)
    assert problem.code == code, problem
    return problem


def create_accounts(client: AuthenticatedClient) -> list[AccountRead]:
    """As JSON and as both kinds of form, each with the same answer."""
    birth = dt.date(1990, 5, 17)
    ada = AccountCreate(
        email="ada@example.com",
        username="ada",
        dob=birth,
        country="Jordan",
        phone_number="0790000000",
    )
    bob = AccountCreateForm(email="bob@example.com", username="bob", dob=birth, country="JOR")
    eve = AccountCreateMultipart(email="eve@example.com", username="eve", dob=birth, country="400")
    first = create_account.sync_detailed(client=client, body=ada)
    accounts = [
        expect(first, 201, AccountRead),
        expect(create_account.sync_detailed(client=client, body=bob), 201, AccountRead),
        expect(create_account.sync_detailed(client=client, body=eve), 201, AccountRead),
    ]
    assert first.headers["Location"] == f"/accounts/{accounts[0].id}"
    assert {(one.country, one.dob, one.version) for one in accounts} == {("JO", birth, 1)}
    assert [one.phone_number for one in accounts] == ["+962790000000", None, None]
    assert accounts[0].created.utcoffset() == dt.timedelta(0)

    taken = create_account.sync_detailed(client=client, body=ada)
    fault = expect_problem(taken, 409, "email_taken").errors[0]
    assert (fault.pointer, fault.code) == ("/email", "not_unique")
    # A client must read codes that later versions add.
    assert Fault.from_dict({"code": "from_tomorrow", "detail": ""}).code == "from_tomorrow"
    return accounts


def repeat_a_create(client: AuthenticatedClient, owner: AccountRead) -> None:
    body, key = ItemCreate(account_id=owner.id, name="Once", image_link=LAMP), str(uuid4())
    first = create_item.sync_detailed(client=client, body=body, idempotency_key=key)
    again = create_item.sync_detailed(client=client, body=body, idempotency_key=key)
    assert expect(again, 201, ItemRead) == expect(first, 201, ItemRead)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = ItemCreate(account_id=owner.id, name="Twice", image_link=LAMP)
    reused = create_item.sync_detailed(client=client, body=other, idempotency_key=key)
    expect_problem(reused, 422, "idempotency_key_reused")
    expect_nothing(delete_item.sync_detailed(expect(first, 201, ItemRead).id, client=client))


def list_in_pages(client: AuthenticatedClient, accounts: list[AccountRead]) -> None:
    found: list[AccountRead] = []
    cursor: str | None = None
    while not found or cursor:
        answer = list_accounts.sync_detailed(
            client=client,
            limit=2,
            cursor=cursor or UNSET,
            sort=ListAccountsSort.EMAIL_ASC,
            count=ListAccountsCount.EXACT,
            country=["JO", "FR"],
            created_gte=accounts[0].created,
            dob_lte=dt.date(1990, 5, 17),
        )
        page = expect(answer, 200, AccountPage)
        assert page.count == 3
        found += page.data
        cursor = page.next_cursor
    assert found == accounts

    wrong = list_accounts.sync_detailed(client=client, cursor="x" * 20)
    expect_problem(wrong, 422, "invalid_cursor")
    limit = expect_problem(
        list_accounts.sync_detailed(client=client, limit=0), 422, "invalid_request"
    )
    assert limit.errors[0].parameter == "limit"


def export_all(client: AuthenticatedClient, accounts: list[AccountRead]) -> None:
    """As lines of JSON, and as CSV."""
    answer = export_accounts.sync_detailed(
        client=client, sort=ExportAccountsSort.EMAIL_ASC, country=["JO"]
    )
    lines = text_of(answer).splitlines()
    assert [AccountRead.from_dict(json.loads(line)) for line in lines] == accounts
    assert answer.headers["Content-Disposition"] == 'attachment; filename="accounts.ndjson"'
    empty = export_items.sync_detailed(client=client, format_=ExportItemsFormat.CSV)
    assert text_of(empty).startswith("id,account_id,name,")
    refused = export_items.sync_detailed(client=client, spreadsheet=True)
    expect_problem(refused, 422, "invalid_request")


def write_account_if_current(client: AuthenticatedClient, account: AccountRead) -> None:
    read = retrieve_account.sync_detailed(account.id, client=client)
    tag = read.headers["ETag"]
    assert expect(read, 200, AccountRead) == account
    known = retrieve_account.sync_detailed(account.id, client=client, if_none_match=tag)
    expect_nothing(known, 304)

    change = AccountChange(username="lovelace", country=None)
    changed = change_account.sync_detailed(account.id, client=client, body=change, if_match=tag)
    now = expect(changed, 200, AccountRead)
    # Null clears; an absent field stays.
    assert (now.username, now.country, now.phone_number) == ("lovelace", None, "+962790000000")
    assert (now.version, changed.headers["ETag"]) == (2, '"2"')

    stale = change_account.sync_detailed(account.id, client=client, body=change, if_match=tag)
    expect_problem(stale, 412, "stale_version")
    assert stale.headers["ETag"] == '"2"'

    # What was read can be sent back as JSON. A form replaces too and clears what it leaves out.
    whole = AccountReplace.from_dict(now.to_dict())
    kept = replace_account.sync_detailed(account.id, client=client, body=whole, if_match='"2"')
    assert expect(kept, 200, AccountRead) == now
    form = AccountReplaceForm(email=now.email, username="ada")
    replaced = replace_account.sync_detailed(account.id, client=client, body=form)
    assert expect(replaced, 200, AccountRead).phone_number is None


def write_items(client: AuthenticatedClient, owner: AccountRead) -> list[ItemRead]:
    bodies: list[ItemCreate | ItemCreateForm | ItemCreateMultipart] = [
        ItemCreate(
            account_id=owner.id, name="Lamp", image_link=LAMP, price="19.90", description="Brass"
        ),
        ItemCreateForm(account_id=owner.id, name="Clock", image_link=LAMP, price="5"),
        ItemCreateMultipart(account_id=owner.id, name="Chair", image_link=LAMP),
    ]
    items = [
        expect(create_item.sync_detailed(client=client, body=body), 201, ItemRead)
        for body in bodies
    ]
    assert [item.price for item in items] == ["19.90", "5.00", "0.00"]

    lamp, _, chair = items
    change = ItemChange(description=None)
    changed = change_item.sync_detailed(lamp.id, client=client, body=change, if_match='"1"')
    items[0] = expect(changed, 200, ItemRead)
    assert (items[0].name, items[0].description, items[0].version) == ("Lamp", None, 2)
    form = ItemReplaceMultipart(
        account_id=owner.id, name="Armchair", image_link=LAMP, price="1200.00"
    )
    items[2] = expect(replace_item.sync_detailed(chair.id, client=client, body=form), 200, ItemRead)
    whole = ItemReplace(account_id=owner.id, name="Lamp", image_link=LAMP)
    stale = replace_item.sync_detailed(lamp.id, client=client, body=whole, if_match='"1"')
    expect_problem(stale, 412, "stale_version")
    assert expect(retrieve_item.sync_detailed(chair.id, client=client), 200, ItemRead) == items[2]

    cheap = list_items.sync_detailed(
        client=client, account_id=owner.id, price_lte="20", sort=ListItemsSort.PRICE_DESC
    )
    assert [item.name for item in expect(cheap, 200, ItemPage).data] == ["Lamp", "Clock"]
    owned = list_account_items.sync_detailed(owner.id, client=client, q="armchair")
    assert expect(owned, 200, ItemPage).data == [items[2]]
    unknown = ItemCreate(account_id=uuid4(), name="Nobody's", image_link=LAMP)
    refused = create_item.sync_detailed(client=client, body=unknown)
    assert expect_problem(refused, 422, "account_not_found").errors[0].pointer == "/account_id"
    return items


def link(client: AuthenticatedClient, account_id: UUID, other_id: UUID, item_id: UUID) -> None:
    body = LinkReplace(item_id=item_id)
    made = put_favorite.sync_detailed(account_id, client=client, body=body)
    again = put_favorite.sync_detailed(account_id, client=client, body=body)
    favorite = expect(made, 201, ItemLink)
    assert favorite == expect(again, 200, ItemLink)
    assert favorite.item.id == item_id
    read = retrieve_favorite.sync_detailed(account_id, client=client)
    assert expect(read, 200, ItemLink) == favorite
    fans = expect(list_favorited_by.sync_detailed(item_id, client=client), 200, AccountLinkPage)
    assert [fan.account.id for fan in fans.data] == [account_id]
    expect_nothing(delete_favorite.sync_detailed(account_id, client=client))
    gone = retrieve_favorite.sync_detailed(account_id, client=client)
    expect_problem(gone, 404, "not_found")

    reserved = put_reservation.sync_detailed(account_id, client=client, body=body)
    reservation = expect(reserved, 201, ItemLink)
    taken = put_reservation.sync_detailed(other_id, client=client, body=body)
    expect_problem(taken, 409, "item_already_reserved")
    held = retrieve_reservation.sync_detailed(account_id, client=client)
    assert expect(held, 200, ItemLink) == reservation
    holder = retrieve_item_reservation.sync_detailed(item_id, client=client)
    assert expect(holder, 200, AccountLink).account.id == account_id
    expect_nothing(delete_reservation.sync_detailed(account_id, client=client))

    noted = WishReplace(note="For the hall")
    wished = put_wish.sync_detailed(account_id, item_id, client=client, body=noted)
    wish = expect(wished, 201, ItemWish)
    assert wish.note == "For the hall"
    read_wish = retrieve_wish.sync_detailed(account_id, item_id, client=client)
    assert expect(read_wish, 200, ItemWish) == wish
    wishes = expect(list_wishes.sync_detailed(account_id, client=client), 200, ItemWishPage)
    assert wishes.data == [wish]
    wishers = expect(list_wished_by.sync_detailed(item_id, client=client), 200, AccountWishPage)
    assert [one.account.id for one in wishers.data] == [account_id]
    expect_nothing(delete_wish.sync_detailed(account_id, item_id, client=client))


def batch_accounts(client: AuthenticatedClient) -> list[AccountRead]:
    body = AccountBatchCreate(
        data=[
            AccountCreate(email=f"batch{number}@example.com", username=str(number), country="JO")
            for number in range(3)
        ]
    )
    would_be = batch_create_accounts.sync_detailed(client=client, body=body, validate_only=True)
    assert [one.country for one in expect(would_be, 200, AccountBatch).data] == ["JO"] * 3
    made = batch_create_accounts.sync_detailed(client=client, body=body, idempotency_key="batch")
    rows = expect(made, 201, AccountBatch).data
    again = batch_create_accounts.sync_detailed(client=client, body=body, idempotency_key="batch")
    assert expect(again, 201, AccountBatch).data == rows
    taken = batch_create_accounts.sync_detailed(client=client, body=body)
    faults = expect_problem(taken, 409, "email_taken").errors
    assert [fault.pointer for fault in faults] == [f"/data/{row}/email" for row in range(3)]
    unknown = uuid4()
    found = batch_get_accounts.sync_detailed(client=client, id=[rows[2].id, unknown, rows[0].id])
    both = expect(found, 200, AccountBatchFound)
    assert (both.data, both.missing) == ([rows[2], rows[0]], [unknown])
    changes = [
        AccountBatchChange(id=rows[0].id, version=1, username="changed"),
        AccountBatchChange(id=rows[1].id, country=None),
    ]
    update = AccountBatchUpdate(data=changes)
    changed = batch_update_accounts.sync_detailed(client=client, body=update)
    first, second = expect(changed, 200, AccountBatch).data
    assert (first.username, first.country, second.country) == ("changed", "JO", None)
    stale = batch_update_accounts.sync_detailed(client=client, body=update)
    assert expect_problem(stale, 412, "stale_version").errors[0].pointer == "/data/0/version"
    return [first, second, rows[2]]


def batch_items(client: AuthenticatedClient, accounts: list[AccountRead]) -> None:
    owner = accounts[0]
    new = [
        ItemCreate(account_id=owner.id, name=str(n), image_link=LAMP, price="5") for n in range(3)
    ]
    body = ItemBatchCreate(data=new)
    rows = expect(batch_create_items.sync_detailed(client=client, body=body), 201, ItemBatch).data
    ids = [row.id for row in rows]
    found = batch_get_items.sync_detailed(client=client, id=ids)
    assert expect(found, 200, ItemBatchFound).data == rows
    changes = [ItemBatchChange(id=row.id, price="7.5") for row in rows]
    update = ItemBatchUpdate(data=changes)
    changed = batch_update_items.sync_detailed(client=client, body=update)
    assert {row.price for row in expect(changed, 200, ItemBatch).data} == {"7.50"}
    one = BatchDelete(data=[RowVersion(id=ids[0], version=2)])
    expect_nothing(batch_delete_items.sync_detailed(client=client, body=one, validate_only=True))
    expect_nothing(batch_delete_items.sync_detailed(client=client, body=one))
    whole = BatchDelete(data=[RowVersion(id=account.id) for account in accounts])
    refused = batch_delete_accounts.sync_detailed(client=client, body=whole)
    assert expect_problem(refused, 409, "account_has_items").errors[0].pointer == "/data/0/id"
    cascade = batch_delete_accounts.sync_detailed(client=client, body=whole, cascade=True)
    expect_nothing(cascade)
    gone = batch_get_items.sync_detailed(client=client, id=ids)
    assert expect(gone, 200, ItemBatchFound).missing == ids


def lines_of(*rows: dict[str, str]) -> File:
    return File(io.BytesIO("".join(f"{json.dumps(row)}\n" for row in rows).encode()))


def import_all(client: AuthenticatedClient) -> None:
    """Lines of JSON: of media types with the same schema this generator sends the last one."""
    kim = {"email": "kim@example.com", "username": "kim", "country": "Jordan"}
    lee = {"email": "lee@example.com", "username": "lee"}
    checked = import_accounts.sync_detailed(client=client, body=lines_of(kim), validate_only=True)
    assert expect(checked, 200, ImportReport).created == 1
    once = import_accounts.sync_detailed(client=client, body=lines_of(kim), idempotency_key="file")
    report = expect(once, 200, ImportReport)
    assert (report.rows, report.created, report.errors) == (1, 1, [])
    again = import_accounts.sync_detailed(client=client, body=lines_of(kim), idempotency_key="file")
    assert expect(again, 200, ImportReport) == report

    refused = import_accounts.sync_detailed(client=client, body=lines_of(lee, kim))
    problem = expect_problem(refused, 422, "import_rejected")
    assert isinstance(problem.report, ImportReport)
    assert (problem.report.rows, problem.report.rejected) == (2, 1)
    fault = problem.errors[0]
    assert (fault.row, fault.pointer, fault.code) == (2, "/email", "not_unique")
    changed = import_accounts.sync_detailed(
        client=client,
        body=lines_of(lee, {**kim, "username": "kimberly"}),
        on_conflict=ImportAccountsOnConflict.UPDATE,
    )
    report = expect(changed, 200, ImportReport)
    assert (report.created, report.updated, report.skipped, report.rejected) == (1, 1, 0, 0)

    lamp = {"account_email": "kim@example.com", "name": "Lamp", "image_link": LAMP}
    made = import_items.sync_detailed(client=client, body=lines_of(lamp))
    assert expect(made, 200, ImportReport).created == 1


def delete(client: AuthenticatedClient, accounts: list[AccountRead], items: list[ItemRead]) -> None:
    owner = accounts[0]
    expect_nothing(delete_item.sync_detailed(items[0].id, client=client))
    gone = delete_item.sync_detailed(items[0].id, client=client)
    expect_problem(gone, 404, "item_not_found")
    refused = delete_account.sync_detailed(owner.id, client=client)
    expect_problem(refused, 409, "account_has_items")
    expect_nothing(delete_account.sync_detailed(owner.id, client=client, cascade=True))
    lost = retrieve_item.sync_detailed(items[1].id, client=client)
    expect_problem(lost, 404, "item_not_found")
    missing = retrieve_account.sync_detailed(owner.id, client=client)
    expect_problem(missing, 404, "account_not_found")


def write_down(request: httpx.Request) -> None:
    sys.stdout.write(f"{request.method} {request.url.path}\n")


def main(url: str, key: str) -> None:
    with AuthenticatedClient(
        base_url=url,
        token=key,
        raise_on_unexpected_status=True,
        httpx_args={"event_hooks": {"request": [write_down]}, "trust_env": False},
    ) as client:
        accounts = create_accounts(client)
        repeat_a_create(client, accounts[0])
        list_in_pages(client, accounts)
        export_all(client, accounts)
        write_account_if_current(client, accounts[0])
        items = write_items(client, accounts[0])
        link(client, accounts[1].id, accounts[2].id, items[0].id)
        batch_items(client, batch_accounts(client))
        import_all(client)
        delete(client, accounts, items)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
