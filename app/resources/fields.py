"""The field types that schemas share: what JSON, forms and queries may send, and what is returned.

Stricter than Pydantic's lax mode, which accepts numbers for dates and text for numbers. The JSON
schema of each type states what is checked, so that generated clients know it too.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Final, LiteralString, TypeVar, get_type_hints
from uuid import UUID

from pydantic import (
    MISSING,
    BaseModel,
    BeforeValidator,
    Field,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.errors import Fault, FaultCode, InvalidRequest
from app.resources.preconditions import Precondition

MAX_VERSION = 2**31 - 1


class FormText(str):
    """Text from a form, where every value is text. It is accepted where a number is expected."""

    __slots__ = ()


def fault(code: FaultCode, detail: LiteralString) -> PydanticCustomError:
    """What a validator raises: a code of the contract and a sentence that repeats no value."""
    return PydanticCustomError(code, detail)


def matching(pattern: str, code: FaultCode, detail: LiteralString) -> BeforeValidator:
    """A check, run before Pydantic parses, that the input is text of this form."""
    compiled = re.compile(pattern)

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise fault("wrong_type", "Must be text.")
        if not compiled.fullmatch(value):
            raise fault(code, detail)
        return value

    return BeforeValidator(check)


def _strip(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


# NUL is refused before validation. The pattern tells clients so. Patterns of the document are ASCII
# and use no classes such as \s, which engines of regular expressions read differently.
TEXT: dict[str, Any] = {"pattern": r"^[^\x00]*$"}
# For required text: surrounding white space is removed, and the rest must not be empty.
Stripped = BeforeValidator(_strip)
NOT_BLANK: dict[str, Any] = {"pattern": r"^[^\x00]*[^\x00\x09-\x0d\x1c-\x20][^\x00]*$"}

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
Id = Annotated[
    UUID,
    matching(
        r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
        "invalid_format",
        f"Must be a UUID of 36 characters, such as {EXAMPLE_ID}.",
    ),
    Field(json_schema_extra={"maxLength": 36}),
]
# An id or a version in a response.
GivenId = Annotated[UUID, Field(examples=[EXAMPLE_ID])]
GivenVersion = Annotated[int, Field(ge=1, examples=[1])]


def _whole_number(value: Any) -> Any:
    if isinstance(value, FormText) and value.isascii() and value.isdigit():
        return int(value) if len(value) <= 10 else MAX_VERSION + 1
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(max(Decimal(0), min(value, Decimal(MAX_VERSION + 1))))
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("wrong_type", "Must be a whole number.")
    return value


Version = Annotated[int, Field(ge=1, le=MAX_VERSION), BeforeValidator(_whole_number)]


# Clients write booleans as their language does: True in Python, 1 in PHP.
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def _true_or_false(value: Any) -> Any:
    flag = _FLAGS.get(str(value).lower())
    if flag is None:
        raise fault("wrong_type", "Must be true or false.")
    return flag


# For queries, where all values are text. Pydantic would accept yes, on and y too.
Flag = Annotated[bool, BeforeValidator(_true_or_false)]

MAX_PRICE = Decimal("9999999999.99")
_CENT = Decimal("0.01")
PRICE_PATTERN = r"^[0-9]{1,10}(\.[0-9]{1,2})?$"
_PRICE_TEXT = re.compile(PRICE_PATTERN)
_PRICE_FORM: Final = "Must be a number with at most 2 decimals, such as 19.90."
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,2})?")


def _parse_price(value: Any) -> Any:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise fault("invalid_format", _PRICE_FORM)
        number = Decimal(value)
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        number = Decimal(value)
    else:
        raise fault("wrong_type", "Must be a decimal as text or number.")
    if number < 0:
        raise fault("too_small", "Must not be negative.")
    if number > MAX_PRICE:
        raise fault("too_large", "Must be at most 9999999999.99.")
    # -0 and numbers with more than ten digits before the point are not prices.
    if number != number.quantize(_CENT) or (
        isinstance(value, str) and not _PRICE_TEXT.fullmatch(value)
    ):
        raise fault("invalid_format", _PRICE_FORM)
    return number.quantize(_CENT).copy_abs()


PRICE_TEXT: dict[str, Any] = {"type": "string", "maxLength": 13, "pattern": PRICE_PATTERN}
# No `multipleOf`: to most validators, 19.99 is no multiple of 0.01, since both are doubles.
PRICE_NUMBER: dict[str, Any] = {
    "type": "number",
    "format": "double",
    "minimum": 0,
    "maximum": 9999999999.99,
}
# With a name, so that it becomes a component of the document, and one type of generated clients.
PriceInput = TypeAliasType(
    "PriceInput",
    Annotated[
        Decimal,
        BeforeValidator(_parse_price),
        WithJsonSchema(
            {
                "oneOf": [PRICE_TEXT, PRICE_NUMBER],
                "description": "A price with at most 2 decimals, as text or as a number",
                "examples": ["19.90"],
            }
        ),
    ],
)
Price = Annotated[
    Decimal,
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]{1,10}\.[0-9]{2}$", "examples": ["19.90"]}
    ),
]


PriceFilter = Annotated[
    Decimal,
    BeforeValidator(_parse_price),
    WithJsonSchema(PRICE_TEXT),
]
FilterText = Annotated[str, Field(min_length=1, max_length=1000, json_schema_extra=TEXT)]


class SystemFields(BaseModel):
    """The system's fields in a body that was read with GET, changed and sent back."""

    id: Annotated[Id | MISSING, Field(description="Must be the id of the path")] = MISSING
    created: Annotated[Any | MISSING, Field(description="Ignored")] = MISSING
    updated: Annotated[Any | MISSING, Field(description="Ignored")] = MISSING
    version: Annotated[Version | MISSING, Field(description="Counts as If-Match")] = MISSING

    def values(self) -> dict[str, Any]:
        """The given fields, without those of the system."""
        return self.model_dump(exclude=set(SystemFields.model_fields))

    def precondition(self, path_id: UUID, header: Precondition) -> Precondition:
        """What must hold for the write, from the If-Match header and from this body.

        Errors: InvalidRequest if the body has the id of another resource.
        """
        if self.id is not MISSING and self.id != path_id:
            detail = "Must be the id of the path."
            raise InvalidRequest(errors=[Fault(pointer="/id", code="read_only", detail=detail)])
        return header if self.version is MISSING else header.narrowed_to(self.version)


Body = TypeVar("Body", bound=BaseModel)


def partial(schema: type[Body]) -> type[Body]:
    """The schema of changes: each field, other than the system's, may be left out.

    Such a field is MISSING, although type checkers see the type that `schema` gives it.
    """
    fields: Any = {
        name: (hint | MISSING, MISSING)
        for name, hint in get_type_hints(schema, include_extras=True).items()
        if name in schema.model_fields and name not in SystemFields.model_fields
    }
    made: type[Body] = create_model(
        schema.__name__,
        __base__=schema,
        __doc__=schema.__doc__,
        __module__=schema.__module__,
        **fields,
    )
    return made
