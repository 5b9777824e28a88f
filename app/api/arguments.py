"""Reads the arguments of an endpoint from a request, in one pass that is planned at start-up."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from starlette.types import Scope

from app.api.batches import validate_batch
from app.api.faults import faults_of, system_fields_of
from app.api.queries import bracketed, parse_query
from app.api.requests import parse_batch_body, parse_body, refuse_other_id
from app.errors import Fault, InvalidCursor, InvalidRequest
from app.resources.batches import Batch

Dependency = Callable[[Request], Awaitable[Any]]
# Pydantic's only error, where an altered cursor is the only fault.
_BAD_CURSOR = [(("query", "cursor"), "invalid_format")]
# Dependencies whose endpoint may run again with what they gave.
REPEATABLE: set[Callable[..., Any] | None] = set()
Repeatable = TypeVar("Repeatable", bound=Callable[..., Any])


def repeatable(dependency: Repeatable) -> Repeatable:
    """Declare that the endpoint may run again with what the dependency gave.

    After a serialization failure or a deadlock, it does if it has no other dependencies.
    """
    REPEATABLE.add(dependency)
    return dependency


class ArgumentReader:
    """Reads what an endpoint declares, but for what only FastAPI can give."""

    def __init__(self, dependant: Dependant, media_types: Sequence[str], read: Any) -> None:
        """read: the schema of the answer, for the fields that no client sets."""
        self._system_fields = system_fields_of(read)
        self._media_types = tuple(media_types)
        self._dependencies = list(simple_dependencies(dependant))
        # Of several body parameters, each is a member of the body: FastAPI reads these.
        self._body = dependant.body_params if len(dependant.body_params) == 1 else []
        self._batch = next(filter(None, map(batch_of, self._body)), None)
        self._query = [field for field in dependant.query_params if model_of(field)]
        self._path = dependant.path_params
        self._parameters = _query_parameters(dependant)
        repeatable = [name for name, may_repeat in self._parameters.items() if may_repeat]
        self._bracketed = bracketed(repeatable) if repeatable else None
        own = {name for field in self._query for name in _fields_of(field)}
        # Whether FastAPI itself reads a part of what the client asks for.
        self._leaves_body = len(dependant.body_params) > 1
        self._leaves_query = not self._parameters.keys() <= own
        self._own_id = _own_id(dependant)

    async def __call__(
        self, request: Request, overrides: Mapping[Any, Any] | None
    ) -> dict[str, Any]:
        """The arguments. Errors: InvalidRequest, InvalidCursor, and those of the body and of
        dependencies.

        With the overrides of dependencies it only checks: FastAPI calls the dependencies.
        """
        scope = request.scope
        parsed, body_faults = None, list[Fault]()
        if self._batch is not None:
            parsed, body_faults = await self._read_batch(request, keep=overrides is not None)
        elif self._media_types:
            parsed = scope["parsed_body"] = await parse_body(request, self._media_types)
            refuse_other_id(parsed, scope["path_params"].get(self._own_id))
        arguments, errors, faults = self._validate(scope, parsed)
        if (
            overrides is None or errors or faults or body_faults
        ):  # errors of dependencies come first
            for name, dependency in self._dependencies:
                if dependency not in (overrides or ()):
                    arguments[name] = await dependency(request)
        if errors or faults or body_faults:
            if not faults and [(each["loc"], each["type"]) for each in errors] == _BAD_CURSOR:
                raise InvalidCursor
            found = faults_of(errors, known=faults, system_fields=self._system_fields)
            raise InvalidRequest(errors=faults + body_faults + found)
        return arguments

    async def _read_batch(
        self, request: Request, *, keep: bool
    ) -> tuple[Batch[Any] | None, list[Fault]]:
        """The batch in the body, and its faults; `keep` the parsed body for FastAPI."""
        assert self._batch is not None
        parsed = await parse_batch_body(request)
        if keep:
            request.scope["parsed_body"] = parsed
        return await validate_batch(self._batch, parsed, self._system_fields)

    def _validate(self, scope: Scope, parsed: Any) -> tuple[dict[str, Any], list[Any], list[Fault]]:
        """The arguments, Pydantic's errors, and the faults of the query.

        What the client asks for is put into the scope as `taken`: as the schemas took it, or else
        as it was sent.
        """
        arguments: dict[str, Any] = {}
        errors: list[Any] = []
        if self._bracketed is not None:
            # Everything behind this, FastAPI too, sees the documented names.
            scope["query_string"] = self._bracketed.sub(rb"\1", scope["query_string"])
        values, faults = parse_query(scope["query_string"], self._parameters)
        for field in self._body:
            if self._batch is not None:  # its rows were validated one by one
                arguments[field.name] = parsed
                continue
            arguments[field.name], found = field.validate(parsed, loc=("body",))
            errors += found
        for field in self._path:
            value = scope["path_params"][field.name]
            arguments[field.name], found = field.validate(value, loc=("path", field.alias))
            errors += found
        for field in self._query:
            arguments[field.name], found = field.validate(values, loc=("query",))
            errors += found
        # A copy, since values of dependencies follow, and the request with this scope itself.
        scope["taken"] = [
            arguments.copy(),
            values if self._leaves_query else None,
            parsed if self._leaves_body else None,
        ]
        return arguments, errors, faults


def simple_dependencies(dependant: Dependant) -> Iterator[tuple[str, Dependency]]:
    """The parameters that depend on an async function of the request alone."""
    for inner in dependant.dependencies:
        call = inner.call
        if (
            inner.name is not None
            and inspect.iscoroutinefunction(call)
            and list(inspect.signature(call).parameters) == [inner.request_param_name]
        ):
            yield inner.name, call


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """The names that an operation takes, each with whether it may be repeated."""
    names: dict[str, bool] = {}
    for field in dependant.query_params:
        model = model_of(field)
        if model is None:
            names[field.alias] = _is_list(field.field_info.annotation)
        else:
            names |= parameters_of(model)
    for inner in dependant.dependencies:
        names |= _query_parameters(inner)
    return names


def parameters_of(model: type[BaseModel]) -> dict[str, bool]:
    """The parameters that a query model takes, each with whether it may be repeated."""
    return {name: _is_list(info.annotation) for name, info in model.model_fields.items()}


def model_of(field: Any) -> type[BaseModel] | None:
    annotation = field.field_info.annotation
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )


def batch_of(field: Any) -> type[Batch[Any]] | None:
    """The schema of a body that is a batch."""
    model = model_of(field)
    return model if model is not None and issubclass(model, Batch) else None


def _fields_of(field: Any) -> Iterable[str]:
    model = model_of(field)
    return () if model is None else model.model_fields


def _own_id(dependant: Dependant) -> str | None:
    """The path parameter that the `id` of the body must equal; None: the body has none."""
    for field in dependant.body_params:
        if "id" in getattr(field.field_info.annotation, "model_fields", ()):
            return dependant.path_params[-1].alias
    return None


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
