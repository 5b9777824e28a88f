"""Every problem a client may meet: one class per code, free of any web framework."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Required

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
]


class Fault(TypedDict, total=False):
    """One thing that is wrong with a request, and where: a pointer, a parameter or a header.

    Names only: a value that the client sent is never repeated.
    """

    pointer: str
    parameter: str
    header: str
    code: Required[FaultCode]
    detail: Required[str]


class Problem(Exception):
    """An answer other than success. `explanation` is for the page of the problem's type."""

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
        "UTF-8, NaN or Infinity, nesting deeper than 64 levels, or a broken multipart body."
    )


class MalformedHeader(Problem):
    status = 400
    code = "malformed_header"
    title = "Malformed header"
    detail = "A header does not have the form that its specification asks for."
    explanation = "The `errors` list names the header. Send it in the documented form."


class Unauthenticated(Problem):
    """`given`: with credentials that are no good, rather than with none."""

    status = 401
    code = "unauthenticated"
    title = "Not authenticated"
    detail = "Send credentials: Authorization: Bearer, with an API key or a JWT."
    explanation = (
        "The request has no credentials, or none that are good: malformed, unknown, expired, "
        "revoked, or of another mode. Ask the operator for an API key."
    )

    def __init__(self, *, given: bool = False) -> None:
        detail = "The credentials are not good: malformed, unknown, expired or revoked."
        challenge = 'Bearer error="invalid_token"' if given else "Bearer"
        super().__init__(detail if given else None, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    status = 403
    code = "forbidden"
    title = "Forbidden"
    detail = "The credentials do not allow this."
    explanation = (
        "The credentials are good, but lack a scope: GET and HEAD need `read`, other methods "
        "`write`. `write` includes `read`, and `admin` both."
    )

    def __init__(self, scope: str) -> None:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        super().__init__(
            f"The credentials lack the scope {scope}.", headers={"WWW-Authenticate": challenge}
        )


class NotFound(Problem):
    status = 404
    code = "not_found"
    title = "Not found"
    detail = "There is nothing at this path."
    explanation = (
        "The path does not exist, or the link that it names (a favorite, a reservation or a wish) "
        "is not there."
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
    detail = "This path does not take this method; Allow lists those it takes."
    explanation = "The `Allow` header of the answer lists all methods of the path."


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
    detail = "The resource has changed since. Read it again, then repeat the change."
    explanation = (
        "The ETag of If-Match, or the version in the body, is not the current one. The ETag header "
        "of this answer is."
    )

    def __init__(self, current: int) -> None:
        super().__init__(headers={"ETag": f'"{current}"'})


class PreconditionRequired(Problem):
    status = 428
    code = "precondition_required"
    title = "Precondition required"
    detail = "Send If-Match with the ETag that you read, or the version in the body."
    explanation = "This server takes no write that could overwrite a change it has not seen."


class AccountHasReservation(Problem):
    status = 409
    code = "account_has_reservation"
    title = "Account has a reservation"
    detail = "The account holds a reservation of another item. Delete that one first."
    explanation = "An account holds at most one reservation."


class ItemAlreadyReserved(Problem):
    status = 409
    code = "item_already_reserved"
    title = "Item already reserved"
    detail = "Another account has reserved this item."
    explanation = "An item is reserved by at most one account."


class IdempotencyInFlight(Problem):
    status = 409
    code = "idempotency_in_flight"
    title = "Request in flight"
    detail = "A request with this Idempotency-Key is still running. Repeat it shortly."
    explanation = "Once the first request is answered, a repeat gets the same answer."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class IdempotencyKeyReused(Problem):
    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency-Key reused"
    detail = "This Idempotency-Key belongs to another request. Take a new key for a new request."
    explanation = "A key stands for one request: the same fields at the same path, for 24 hours."

    def __init__(self) -> None:
        detail = "Belongs to a request with other fields."
        super().__init__(errors=[Fault(header="Idempotency-Key", code="not_unique", detail=detail)])


class BodyTooLarge(Problem):
    status = 413
    code = "body_too_large"
    title = "Body too large"
    detail = "The body is larger than this server takes."
    explanation = "The limit is 1 MiB unless the operator has set another."


class UnsupportedMediaType(Problem):
    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"
    detail = "This operation does not take a body of this Content-Type."
    explanation = (
        "POST and PUT take application/json, application/x-www-form-urlencoded or "
        "multipart/form-data; PATCH takes application/merge-patch+json or application/json; links "
        "take application/json."
    )


class InvalidRequest(Problem):
    status = 422
    code = "invalid_request"
    title = "Invalid request"
    detail = "The request breaks the rules that `errors` lists."
    explanation = "All faults of body, query and path come together; nothing was stored."


class InvalidCursor(Problem):
    status = 422
    code = "invalid_cursor"
    title = "Invalid cursor"
    detail = "This cursor does not belong to this list. Start again without one."
    explanation = (
        "A cursor goes with the list, the filters and the sort it was given for, unaltered. Only "
        "`limit` and `count` may change between pages."
    )

    def __init__(self) -> None:
        super().__init__(
            errors=[
                Fault(
                    parameter="cursor",
                    code="invalid_format",
                    detail="Take next_cursor from the page before, unaltered.",
                )
            ]
        )


class UnknownAccount(AccountNotFound):
    """The body refers to an account that is not there."""

    status = 422

    def __init__(self, pointer: str = "/account_id") -> None:
        super().__init__(
            errors=[Fault(pointer=pointer, code="not_found", detail="No account has this id.")]
        )


class UnknownItem(ItemNotFound):
    """The body refers to an item that is not there."""

    status = 422

    def __init__(self, pointer: str = "/item_id") -> None:
        super().__init__(
            errors=[Fault(pointer=pointer, code="not_found", detail="No item has this id.")]
        )


class DatabaseUnavailable(Problem):
    status = 503
    code = "database_unavailable"
    title = "Database unavailable"
    detail = "The database does not answer at the moment. Try again shortly."
    explanation = (
        "A write that was under way may or may not have happened: repeat it with its "
        "Idempotency-Key."
    )

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "2"})


class Overloaded(Problem):
    status = 503
    code = "overloaded"
    title = "Overloaded"
    detail = "The service has too much to do at the moment. Try again shortly."
    explanation = (
        "Nothing was done: a connection, a lock or the time for a statement was not to be had, or "
        "two transactions were in each other's way. The request is safe to repeat."
    )

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class IdentityProviderUnavailable(Overloaded):
    """Nothing was done, and the request is safe to repeat: what `overloaded` tells clients."""

    detail = "The keys of the identity provider are not to be had. Try again shortly."

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.headers["Retry-After"] = str(seconds)


class InternalError(Problem):
    status = 500
    code = "internal"
    title = "Internal error"
    detail = "Something went wrong on our side. The request_id finds it in the logs."
    explanation = "An unexpected fault. Tell the operator the `request_id`."


def problem_types() -> dict[str, type[Problem]]:
    """The class that explains each code: the one that introduced it."""
    types: dict[str, type[Problem]] = {}
    pending = list(Problem.__subclasses__())
    while pending:
        cls = pending.pop(0)
        types.setdefault(cls.code, cls)
        pending += cls.__subclasses__()
    return types
