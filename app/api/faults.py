"""Converts Pydantic's errors to faults of the contract: codes and places, without values."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, cast, get_args

from app.api.bodies.values import Refused, safe_name
from app.errors import Fault, FaultCode

_CODES: Final = frozenset(get_args(FaultCode))
MAX_NAME: Final = 100
# Fields that no client sets, where a resource has them.
_SYSTEM_FIELDS: Final = frozenset({"id", "created", "updated", "version"})

# Pydantic's error types. All others are `invalid_format`.
_BY_TYPE: Final[Mapping[str, tuple[FaultCode, str]]] = {
    "literal_error": ("invalid_format", "Must be {expected}."),
    "missing": ("required", "Is required."),
    "string_type": ("wrong_type", "Must be text."),
    "model_attributes_type": ("wrong_type", "Must be an object."),
    "model_type": ("wrong_type", "Must be an object."),
    "list_type": ("wrong_type", "Must be an array."),
    "string_too_short": ("too_short", "Must have at least {min_length} character(s)."),
    "string_too_long": ("too_long", "Must have at most {max_length} characters."),
    "greater_than_equal": ("too_small", "Must be at least {ge}."),
    "greater_than": ("too_small", "Must be more than {gt}."),
    "less_than_equal": ("too_large", "Must be at most {le}."),
    "less_than": ("too_large", "Must be less than {lt}."),
    "too_long": ("too_long", "Must have at most {max_length} values."),
    "too_short": ("too_short", "Must have at least {min_length} value(s)."),
}


def faults_of(
    errors: Iterable[Mapping[str, Any]],
    known: Sequence[Fault],
    system_fields: Collection[str] = (),
) -> list[Fault]:
    """The faults in Pydantic's errors, without those of parameters already `known`.

    system_fields: those that the resource has and no client sets.
    The place of an error begins with `path`, `query`, `body`, `header` or `cookie`.
    """
    faults: dict[tuple[str, str], Fault] = {}
    for raw in errors:
        place, name = _place(raw["loc"])
        code, detail = _explain(raw, name, system_fields)
        faults.setdefault((place, name), cast(Fault, {place: name, "code": code, "detail": detail}))
    for fault in known:
        faults.pop(("parameter", fault["parameter"]), None)
    return list(faults.values())


def system_fields_of(read: Any) -> frozenset[str]:
    """The system's fields of what an operation answers, by its schema: a row, or many as `data`."""
    models = getattr(read, "model_fields", {})
    if "data" in models and (rows := get_args(models["data"].annotation)):
        return system_fields_of(rows[0])
    return _SYSTEM_FIELDS & (models or getattr(read, "__annotations__", {})).keys()


def _place(loc: Sequence[Any]) -> tuple[str, str]:
    # Bodies are flat, but for the rows of a batch: what follows the field's name is internal to
    # Pydantic.
    is_of_row = len(loc) > 2 and isinstance(loc[2], int)
    kind, *names = loc[: 4 if is_of_row else 2]
    if kind == "body":
        return "pointer", "".join(pointer_to(str(name)) for name in names)
    if kind == "header":
        return "header", names[0]
    return ("header", "Cookie") if kind == "cookie" else ("parameter", names[0])


def shown_name(name: str) -> str:
    """The name of a field or parameter, cut, since a client may choose it."""
    # In JSON a control character is six characters: 100 faults must stay below 64 KiB.
    return safe_name(name[: MAX_NAME if name[:MAX_NAME].isprintable() else 90])


def pointer_to(name: str) -> str:
    return "/" + shown_name(name).replace("~", "~0").replace("/", "~1")


def _explain(
    raw: Mapping[str, Any], name: str, system_fields: Collection[str]
) -> tuple[FaultCode, str]:
    kind, value = raw["type"], raw.get("input")
    if kind == "extra_forbidden":
        if name.rpartition("/")[2] in system_fields:
            return "read_only", "Is set by the system."
        return "unknown", "No such field."
    if isinstance(value, Refused):
        return value.code, value.detail
    if value is None and kind != "missing":
        return "null_not_allowed", "Must not be null."
    if kind in _CODES and "ctx" not in raw:  # raised by a validator of our own
        return kind, raw["msg"]
    if kind in _BY_TYPE:
        code, detail = _BY_TYPE[kind]
        return code, detail.format(**raw.get("ctx", {}))
    return "invalid_format", "Does not have the documented form."
