"""The folder of each resource, derived from the OpenAPI document."""

from dataclasses import dataclass
from typing import Any, Final

from scripts.postman.send import MULTIPART, RESPONSE, Send, header_is

Object = dict[str, Any]
# The order of the operations of a folder, by their methods.
METHODS: Final = ("post", "get", "put", "patch", "delete")
SYSTEM_FIELDS: Final = ("id", "created", "updated", "version")


@dataclass(frozen=True, slots=True)
class Resource:
    """Rows that are created at `path` and retrieved at `path/{id_name}`."""

    path: str
    id_name: str
    tag: str

    @property
    def own_path(self) -> str:
        return f"{self.path}/{{{self.id_name}}}"


def resources_of(document: Object) -> list[Resource]:
    """The resources of a document, in its order."""
    paths = document["paths"]
    found = []
    for own in paths:
        path, _, id_name = own.removesuffix("}").rpartition("/{")
        if own.endswith("}") and "{" not in path and "post" in paths.get(path, {}):
            found.append(Resource(path, id_name, paths[path]["post"]["tags"][0]))
    return found


def folder_of(resource: Resource, document: Object) -> list[Send]:
    """Requests of all operations of a resource, between those that create and delete its parents.

    The parents are the resources whose ids are fields of its body.
    """
    parents = _parents(resource, document)
    operations = [
        (METHODS.index(method), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if resource.tag in operation["tags"] and ":" not in path
    ]
    operations.sort(key=lambda one: one[0])
    return [
        *(_creation(parent, document) for parent in parents),
        *(
            _request(resource, METHODS[rank], path, operation, document)
            for rank, path, operation in operations
        ),
        *(_deletion(parent, document) for parent in reversed(parents)),
    ]


def batches_of(resource: Resource, document: Object) -> list[Send]:
    """Requests of all batches of a resource, between those that create and delete its parents."""
    if f"{resource.path}:batchGet" not in document["paths"]:
        return []
    parents = _parents(resource, document)
    one = {"id": f"{{{{{resource.id_name}}}}}"}

    def name(verb: str) -> str:
        method = "get" if verb == "Get" else "post"
        found: str = _operation(f"{resource.path}:batch{verb}", method, document)["operationId"]
        return found

    validation = Send(
        name("Create"),
        name=f"Validate {resource.tag.capitalize()} only",
        query="validate_only=true",
        checks={"has no address": 'pm.response.to.not.have.header("Location")'},
    )
    return [
        *(_creation(parent, document) for parent in parents),
        validation,
        Send(name("Create"), 201, saves={resource.id_name: "data[0].id"}),
        Send(
            name("Get"),
            query=f"id={one['id']}&id=00000000-0000-7000-8000-000000000000",
            same={"data[0].id": resource.id_name},
            checks={"misses one": f"pm.expect({RESPONSE}.missing.length).to.equal(1)"},
        ),
        Send(
            name("Update"),
            body={"data": [{**one, "version": 1}]},
            same={"data[0].id": resource.id_name},
        ),
        Send(name("Delete"), 204, body={"data": [one]}),
        *(_deletion(parent, document) for parent in reversed(parents)),
    ]


def _parents(resource: Resource, document: Object) -> list[Resource]:
    """The resources that must exist first, in the order of their creation."""
    fields = _example(_operation(resource.path, "post", document), "requestBody", document)
    found: list[Resource] = []
    for parent in resources_of(document):
        if parent.id_name in fields and parent != resource:
            found += [one for one in (*_parents(parent, document), parent) if one not in found]
    return found


def _creation(resource: Resource, document: Object) -> Send:
    operation = _operation(resource.path, "post", document)
    return Send(operation["operationId"], 201, saves={resource.id_name: "id"})


def _deletion(resource: Resource, document: Object) -> Send:
    return Send(_operation(resource.own_path, "delete", document)["operationId"], 204)


def _request(
    resource: Resource, method: str, path: str, operation: Object, document: Object
) -> Send:
    is_creation = (method, path) == ("post", resource.path)
    # With `validate_only` a creation is answered with 200.
    done = [code for code in operation["responses"] if code.startswith("2")]
    status = max(done) if is_creation else min(done)
    found = operation["responses"][status].get("content", {})
    same: dict[str, str] = {}
    if path == resource.own_path and found and method != "post":
        same = {"id": resource.id_name}
    elif method == "get" and "data" in _example(operation["responses"], status, document):
        same = {"data[0].id": resource.id_name}
    location = header_is("Location", f'"{resource.path}/" + {RESPONSE}.id')
    return Send(
        operation["operationId"],
        int(status),
        media_type=MULTIPART if MULTIPART in _content(operation, "requestBody") else "",
        has=_echoed(operation, status, document),
        same=same,
        checks={"gives its address": location} if is_creation else {},
        saves={resource.id_name: "id"} if is_creation else {},
    )


def _echoed(operation: Object, status: str, document: Object) -> Object:
    """The fields of the body's example as the example of the response has them."""
    sent = _example(operation, "requestBody", document)
    given = _example(operation["responses"], status, document)
    ids = {resource.id_name for resource in resources_of(document)}
    variable = {*ids, *SYSTEM_FIELDS, "email"}
    return {name: given[name] for name in given if name in sent and name not in variable}


def _operation(path: str, method: str, document: Object) -> Object:
    operation: Object = document["paths"][path][method]
    return operation


def _content(node: Object, name: str) -> Object:
    content: Object = node.get(name, {}).get("content", {})
    return content


def _example(node: Object, name: str, document: Object) -> Object:
    """The example of a body of a request or a response, or nothing if it has no body in JSON."""
    for content in _content(node, name).values():
        if reference := content["schema"].get("$ref"):
            schema = document["components"]["schemas"][reference.rpartition("/")[2]]
            example: Object = schema["examples"][0]
            return example
    return {}
