"""Finds the changes of an OpenAPI document that break its clients. Additions do not."""

from collections.abc import Iterator

from tests.json_schemas import Schema, alternatives, resolved

METHODS = ("get", "put", "post", "patch", "delete")
# Limits of requests: a client stays within the old ones, so new ones must not be closer.
UPPER = ("maxLength", "maxItems", "maximum")
LOWER = ("minLength", "minItems", "minimum")
# Stands for a schema without a type, which takes everything.
ANY = "any"


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """One line for each, such as `GET /items: removed`."""
    return list(_Comparison(old, new).changes())


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self.old = old
        self.new = new

    def changes(self) -> Iterator[str]:
        for path, methods in self.old["paths"].items():
            for method in METHODS & methods.keys():
                where = f"{method.upper()} {path}"
                new = self.new["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{where}: removed"
                else:
                    yield from self._operation(where, methods[method], new)

    def _operation(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{where}: operationId is another"
        yield from self._parameters(where, old, new)
        old_body, new_body = (resolved(one, one.get("requestBody", {})) for one in (old, new))
        if new_body.get("required") and not old_body.get("required"):
            yield f"{where}: a body is required"
        yield from self._contents(f"{where} request", old_body, new_body, is_request=True)
        for status, response in old["responses"].items():
            if status not in new["responses"]:
                yield f"{where}: no longer documents {status}"
                continue
            old_answer = resolved(self.old, response)
            new_answer = resolved(self.new, new["responses"][status])
            there = f"{where} {status}"
            for header in old_answer.get("headers", {}).keys() - new_answer.get("headers", {}):
                yield f"{there}: header {header} removed"
            yield from self._contents(there, old_answer, new_answer, is_request=False)

    def _parameters(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        olds, news = (
            {(one["in"], one["name"]): one for one in self._parameters_of(document, operation)}
            for document, operation in ((self.old, old), (self.new, new))
        )
        for key, parameter in olds.items():
            there = f"{where} {' '.join(key)}"
            if key not in news:
                yield f"{there}: removed"
            else:
                yield from self._schemas(
                    there, parameter["schema"], news[key]["schema"], is_request=True
                )
        for key, parameter in news.items():
            if parameter.get("required") and not olds.get(key, {}).get("required"):
                yield f"{where} {' '.join(key)}: is required"

    def _parameters_of(self, document: Schema, operation: Schema) -> list[Schema]:
        return [resolved(document, one) for one in operation.get("parameters", [])]

    def _contents(self, where: str, old: Schema, new: Schema, *, is_request: bool) -> Iterator[str]:
        for media_type, content in old.get("content", {}).items():
            if media_type not in new.get("content", {}):
                yield f"{where}: {media_type} removed"
            else:
                found = new["content"][media_type]["schema"]
                yield from self._schemas(where, content["schema"], found, is_request=is_request)

    def _schemas(self, where: str, old: Schema, new: Schema, *, is_request: bool) -> Iterator[str]:
        """A type is compared with the one of its kind among the alternatives."""
        olds, news = _by_type(self.old, old), _by_type(self.new, new)
        if is_request and ANY in news:
            return
        gone, come = olds.keys() - news, news.keys() - olds
        for kind in sorted(gone if is_request else come):
            yield f"{where}: {'no longer takes' if is_request else 'may be'} {kind}"
        for kind in olds.keys() & news:
            yield from self._alternatives(where, olds[kind], news[kind], is_request=is_request)

    def _alternatives(
        self, where: str, old: Schema, new: Schema, *, is_request: bool
    ) -> Iterator[str]:
        if "enum" in new or "enum" in old:
            for value in set(old.get("enum", [])) - set(new.get("enum", [])):
                yield f"{where}: value {value} removed"
        if "enum" in new and "enum" not in old:
            yield f"{where}: takes some values only"
        if is_request:
            yield from _narrowed(where, old, new)
        if "items" in old:
            yield from self._schemas(
                f"{where}[]", old["items"], new["items"], is_request=is_request
            )
        for field, schema in old.get("properties", {}).items():
            found = new.get("properties", {}).get(field)
            if found is None:
                yield f"{where} {field}: removed"
            else:
                yield from self._schemas(f"{where} {field}", schema, found, is_request=is_request)
        required, before = set(new.get("required", [])), set(old.get("required", []))
        for field in sorted(required - before if is_request else before - required):
            yield f"{where} {field}: {'is' if is_request else 'is not'} required"


def _narrowed(where: str, old: Schema, new: Schema) -> Iterator[str]:
    for limit in UPPER:
        if new.get(limit, float("inf")) < old.get(limit, float("inf")):
            yield f"{where}: {limit} is {new[limit]}"
    for limit in LOWER:
        if new.get(limit, float("-inf")) > old.get(limit, float("-inf")):
            yield f"{where}: {limit} is {new[limit]}"
    for rule in ("pattern", "format", "multipleOf"):
        if rule in new and new[rule] != old.get(rule):
            yield f"{where}: {rule} is {new[rule]}"


def _by_type(document: Schema, schema: Schema) -> dict[str, Schema]:
    """The alternatives by their types; of several with one type, the first."""
    return {one.get("type", ANY): one for one in reversed(alternatives(document, schema))}
