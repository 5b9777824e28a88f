"""Every problem that a client may get: one class for each code."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, LiteralString, Required

from typing_extensions import TypedDict

FaultCode = Literal[
    "required",
    "unknown",
    "duplicate",
    "wrong_type",
    "invalid_format",
    "too_short",
    "too_long",
    "too_small",
    "too_large",
    "null_not_allowed",
    "read_only",
    "not_unique",
    "not_found",
    "stale",
    "account_has_items",
]


class Fault(TypedDict, total=False):
    """One thing that is wrong with a request, and its place: a pointer, a parameter or a header.

    A fault never repeats a value that the client sent.
    """

    pointer: str
    parameter: str
    header: str
    row: int  # of an imported file; the first row of data is 1
    code: Required[FaultCode]
    detail: Required[str]


class Problem(Exception):
    """An error response. `explanation` is shown on the page of the problem's type."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    detail: ClassVar[str]
    explanation: ClassVar[str] = ""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.detail)
        self.errors = list(errors)
        self.headers = dict(headers or {})


class MalformedBody(Problem):
    status = 400
    code = "malformed_body"
    title = "Malformed body"
    detail = "The body is not well-formed: send one complete document of the declared type."
    explanation = (
        "The bytes could not be read as the declared media type: empty or truncated JSON, invalid "
        "UTF-8, NaN or Infinity, nesting deeper than 64 levels, more than 1,000 values in JSON "
        "(objects and arrays counted; 32,000 in a batch), more than 100 fields in a form, or a "
        "broken multipart body."
    )


class MalformedHeader(Problem):
    status = 400
    code = "malformed_header"
    title = "Malformed header"
    detail = "A header is not well-formed."
    explanation = "`errors` names the header. Send it in the documented form."


class MalformedRequest(Problem):
    status = 400
    code = "malformed_request"
    title = "Malformed request"
    detail = "The request is not valid HTTP."
    explanation = "The server could not parse an HTTP/1.1 request. The connection was closed."


class RequestTimeout(Problem):
    status = 408
    code = "request_timeout"
    title = "Request timeout"
    detail = "The request did not arrive completely in time."
    explanation = (
        "The head and the body of a request must each arrive within a time limit. Nothing was "
        "done, and the connection was closed."
    )


class TargetTooLong(Problem):
    status = 414
    code = "target_too_long"
    title = "Target too long"
    detail = "The request target is too long."
    explanation = "Path, query and headers may have 64 KiB together. The connection was closed."


class HeadTooLarge(Problem):
    status = 431
    code = "head_too_large"
    title = "Head too large"
    detail = "The request headers are too large."
    explanation = (
        "Path, query and headers may have 64 KiB together, and fields after a chunked body 8 KiB. "
        "The connection was closed."
    )


class UnknownMethod(Problem):
    status = 501
    code = "unknown_method"
    title = "Unknown method"
    detail = "The server does not know the request method."
    explanation = "Methods are written in capital letters. The connection was closed."


class UnknownCoding(Problem):
    status = 501
    code = "unknown_coding"
    title = "Unknown coding"
    detail = "The server knows no transfer coding but chunked."
    explanation = "Send the body without another transfer coding. The connection was closed."


class Unauthenticated(Problem):
    """`given`: whether the request had credentials, which are then invalid."""

    status = 401
    code = "unauthenticated"
    title = "Not authenticated"
    detail = "Send credentials: Authorization: Bearer, with an API key or a JWT."
    explanation = (
        "The request has no credentials, or they are malformed, unknown, expired, revoked or of "
        "another mode. Ask the operator for an API key."
    )

    def __init__(self, *, given: bool = False) -> None:
        detail = "The credentials are invalid: malformed, unknown, expired or revoked."
        challenge = 'Bearer error="invalid_token"' if given else "Bearer"
        super().__init__(detail if given else None, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    status = 403
    code = "forbidden"
    title = "Forbidden"
    detail = "This request is not allowed."
    explanation = (
        "The credentials are valid but lack a scope. GET and HEAD need `read`, other methods "
        "`write`. `write` includes `read`; `admin` includes both. Where no credentials are needed, "
        "a browser has sent a write from a page of another site, or a request for a name that is "
        "not one of this machine."
    )


class MissingScope(Forbidden):
    def __init__(self, scope: str) -> None:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        super().__init__(
            f"The credentials lack the scope {scope}.", headers={"WWW-Authenticate": challenge}
        )


class ForeignOrigin(Forbidden):
    detail = (
        "The page that sent this request is of another site. The setting CORS_ORIGINS lists the "
        "origins whose pages may write."
    )


class ForeignHost(Forbidden):
    detail = (
        "The request's Host is not a name of this machine. The setting ALLOWED_HOSTS lists names "
        "besides localhost."
    )


class NotFound(Problem):
    status = 404
    code = "not_found"
    title = "Not found"
    detail = "Nothing exists at this path."
    explanation = (
        "The path does not exist, or the link that it names (a favorite, a reservation or a wish) "
        "does not exist."
    )


class AccountNotFound(Problem):
    status = 404
    code = "account_not_found"
    title = "Account not found"
    detail = "No account has this id."
    explanation = (
        "With status 404 the account of the path does not exist; with status 422 the account that "
        "the body refers to does not exist, and `errors` points at the field."
    )


class ItemNotFound(Problem):
    status = 404
    code = "item_not_found"
    title = "Item not found"
    detail = "No item has this id."
    explanation = (
        "With status 404 the item of the path does not exist; with status 422 the item that the "
        "body refers to does not exist, and `errors` points at the field."
    )


class MethodNotAllowed(Problem):
    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"
    detail = "This path does not support this method. The Allow header lists those it supports."
    explanation = "The `Allow` header of the response lists all methods of the path."


class EmailTaken(Problem):
    status = 409
    code = "email_taken"
    title = "Email already in use"
    detail = "Another account uses this email. Choose another or update that account."
    explanation = "Emails are unique without regard to case."

    def __init__(self) -> None:
        super().__init__(
            errors=[
                Fault(
                    pointer="/email", code="not_unique", detail="Another account uses this email."
                )
            ]
        )


class AccountHasItems(Problem):
    status = 409
    code = "account_has_items"
    title = "Account has items"
    detail = "The account still owns items. Delete them first, or repeat with ?cascade=true."
    explanation = "An account that owns items is deleted only together with them."


class StaleVersion(Problem):
    status = 412
    code = "stale_version"
    title = "Stale version"
    detail = "The resource is not as the request requires. Read it again, then repeat the request."
    explanation = (
        "The ETag in If-Match, or the version in the body, is not the current one, or the one in "
        "If-None-Match is. The ETag header of the response holds the current one. "
        "`If-None-Match: *` matches whatever is there, also a link, which has no ETag. `errors` "
        "lists the rows of a batch that have another version."
    )

    def __init__(self, current: int | None = None) -> None:
        super().__init__(headers=None if current is None else {"ETag": f'"{current}"'})


class PreconditionRequired(Problem):
    status = 428
    code = "precondition_required"
    title = "Precondition required"
    detail = "Send If-Match with the ETag that you read, or the version in the body."
    explanation = "This server refuses writes that could overwrite changes the client has not seen."


class AccountHasReservation(Problem):
    status = 409
    code = "account_has_reservation"
    title = "Account has a reservation"
    detail = "The account has a reservation of another item. Delete that reservation first."
    explanation = "An account has at most one reservation."


class ItemAlreadyReserved(Problem):
    status = 409
    code = "item_already_reserved"
    title = "Item already reserved"
    detail = "Another account has reserved this item."
    explanation = "At most one account can reserve an item."


class IdempotencyInFlight(Problem):
    status = 409
    code = "idempotency_in_flight"
    title = "Request in flight"
    detail = "A request with this Idempotency-Key is still in progress. Try again shortly."
    explanation = "After the first request has finished, a repeated request gets the same response."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class IdempotencyKeyReused(Problem):
    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency-Key reused"
    detail = "This Idempotency-Key belongs to another request. Use a new key for a new request."
    explanation = (
        "A key identifies one request, with the same fields and the same path, for 24 hours."
    )

    def __init__(self) -> None:
        detail = "Belongs to a request with other fields."
        super().__init__(errors=[Fault(header="Idempotency-Key", code="not_unique", detail=detail)])


class BodyTooLarge(Problem):
    status = 413
    code = "body_too_large"
    title = "Body too large"
    detail = "The request body is too large."
    explanation = "The limit is 1 MiB, and 16 MiB for batches, unless the operator has set another."


class UnsupportedMediaType(Problem):
    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"
    detail = "This operation does not accept a body of this Content-Type."
    explanation = (
        "POST and PUT accept application/json, application/x-www-form-urlencoded or "
        "multipart/form-data; PATCH accepts application/merge-patch+json or application/json; PUT "
        "of a link and batches accept application/json only. None accepts a Content-Encoding. "
        "`curl -d` sends "
        "a form unless `-H 'Content-Type: application/json'` says otherwise."
    )


class InvalidRequest(Problem):
    status = 422
    code = "invalid_request"
    title = "Invalid request"
    detail = "The request is invalid; `errors` lists every fault."
    explanation = (
        "`errors` lists all faults of body, query and path together, at most 100, or 1,000 of a "
        "batch, whose rows are named as in `/data/3/email`; `more_errors` "
        "tells how many it leaves out. Names are cut at 100 characters. Nothing was stored."
    )


class InvalidCursor(Problem):
    status = 422
    code = "invalid_cursor"
    title = "Invalid cursor"
    detail = "This cursor does not belong to this list. Start again without one."
    explanation = (
        "A cursor is valid for the list, the filters and the sort that it was returned for. Only "
        "`limit` and `count` may change between pages. If the request has other faults too, the "
        "answer is `invalid_request`, which lists all of them."
    )

    advice: LiteralString = "Send next_cursor of the previous page unchanged."

    def __init__(self) -> None:
        super().__init__(
            errors=[Fault(parameter="cursor", code="invalid_format", detail=self.advice)]
        )


class UnknownAccount(AccountNotFound):
    """The body refers to an account that does not exist."""

    status = 422

    def __init__(self, pointer: str = "/account_id") -> None:
        super().__init__(
            errors=[Fault(pointer=pointer, code="not_found", detail="No account has this id.")]
        )


class UnknownItem(ItemNotFound):
    """The body refers to an item that does not exist."""

    status = 422

    def __init__(self, pointer: str = "/item_id") -> None:
        super().__init__(
            errors=[Fault(pointer=pointer, code="not_found", detail="No item has this id.")]
        )


class ImportRejected(Problem):
    """The report has the counts; nothing is created or updated, and its `errors` are empty."""

    status = 422
    code = "import_rejected"
    title = "Import rejected"
    detail = "Rows of the file are not valid, so nothing was stored."
    explanation = (
        "`errors` lists the first 1,000 faults with the number of their row, and `report` has the "
        "counts. Correct the rows, or leave them out with `on_error=skip`."
    )

    def __init__(self, report: Mapping[str, object], errors: Sequence[Fault]) -> None:
        super().__init__(errors=errors)
        self.report = report


class DatabaseUnavailable(Problem):
    status = 503
    code = "database_unavailable"
    title = "Database unavailable"
    detail = "The database is not available at the moment. Try again shortly."
    explanation = (
        "A write in progress may or may not have taken effect. Repeat it with the same "
        "Idempotency-Key."
    )

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "2"})


class OutcomeUnknown(DatabaseUnavailable):
    """Like any other write that was in progress when the database failed."""

    detail = (
        "The outcome is unknown: the write is committed, or will be, or will not. Repeat it with "
        "the same Idempotency-Key."
    )


class Overloaded(Problem):
    status = 503
    code = "overloaded"
    title = "Overloaded"
    detail = "The service is overloaded at the moment. Try again shortly."
    explanation = (
        "No database connection was free, other exports were running, a lock or a statement took "
        "too long, or two transactions conflicted. Nothing was done, so the request is safe to "
        "repeat."
    )

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class TransactionConflict(Overloaded):
    """Others have changed rows since this transaction read them: it may run again."""


class RateLimited(Problem):
    status = 429
    code = "rate_limited"
    title = "Rate limited"
    detail = "Too many requests in a short time. Retry-After tells how many seconds to wait."
    explanation = (
        "Each client may send a limited number of requests in a time window. `RateLimit-Policy` "
        "gives the limit and the window in seconds, `RateLimit` the requests and the seconds that "
        "are left. Nothing was done."
    )

    def __init__(self, seconds: int, headers: Mapping[str, str]) -> None:
        super().__init__(headers={"Retry-After": str(seconds), **headers})


class IdentityProviderUnavailable(Overloaded):
    """The issuer's keys could not be fetched. Like `overloaded`, it is safe to repeat."""

    detail = "The keys of the identity provider are not available. Try again shortly."

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.headers["Retry-After"] = str(seconds)


class InternalError(Problem):
    status = 500
    code = "internal"
    title = "Internal error"
    detail = "An unexpected error occurred. The request_id identifies it in the server's logs."
    explanation = (
        "The server has a bug or a problem of its own. Tell the operator the `request_id`."
    )


def problem_types() -> dict[str, type[Problem]]:
    """Return the class of each code: the one that introduced it."""
    types: dict[str, type[Problem]] = {}
    pending = list(Problem.__subclasses__())
    while pending:
        cls = pending.pop(0)
        types.setdefault(cls.code, cls)
        pending += cls.__subclasses__()
    return types
