"""A request of the Postman collection, and the script that checks its response."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MULTIPART: Final = "multipart/form-data"
URLENCODED: Final = "application/x-www-form-urlencoded"
VARIABLES: Final = {
    "host": "localhost",
    "port": "8000",
    "api_key": "",
    **dict.fromkeys(("other_id", "email", "etag", "cursor", "idempotency_key"), ""),
}
RESPONSE: Final = "pm.response.json()"


@dataclass(frozen=True, slots=True)
class Send:
    """One request. Without a body of its own it sends the example of the OpenAPI document."""

    operation: str  # an operationId, or a method and a path
    status: int = 200
    name: str = ""  # by default the summary of the operation
    description: str = ""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = ""  # by default the first of the operation
    body: dict[str, Any] | str | None = None
    before: list[str] = field(default_factory=list)  # a script
    has: dict[str, Any] = field(default_factory=dict)  # fields of the response and their values
    same: dict[str, str] = field(default_factory=dict)  # parts of the response and their variables
    saves: dict[str, str] = field(default_factory=dict)  # variables and parts of the response
    problem: str = ""  # its code
    faults: Sequence[tuple[str, str]] = ()  # pointers or parameters, and codes
    checks: dict[str, str] = field(default_factory=dict)  # titles and assertions

    def tests(self) -> list[str]:
        """The script that runs after the response."""
        checks = {str(self.status): f"pm.response.to.have.status({self.status})"}
        if self.has:
            checks["has the values"] = f"pm.expect({RESPONSE}).to.include({json.dumps(self.has)})"
        for part, variable in self.same.items():
            value = f'pm.collectionVariables.get("{variable}")'
            checks[f"{part} is {variable}"] = f"pm.expect({RESPONSE}.{part}).to.equal({value})"
        if self.problem:
            media_type = 'pm.response.headers.get("Content-Type")'
            checks["is a problem"] = f'pm.expect({media_type}).to.equal("application/problem+json")'
            checks["has the code"] = f'pm.expect({RESPONSE}.code).to.equal("{self.problem}")'
        for where, code in self.faults:
            pairs = (
                f"{RESPONSE}.errors.map((fault) => [fault.pointer ?? fault.parameter, fault.code])"
            )
            checks[f"names {where}"] = f'pm.expect({pairs}).to.deep.include(["{where}", "{code}"])'
        checks |= self.checks
        return [
            *(f"pm.test({json.dumps(title)}, () => {test});" for title, test in checks.items()),
            *(
                f'pm.collectionVariables.set("{variable}", {RESPONSE}.{part});'
                for variable, part in self.saves.items()
            ),
        ]


def names_are(*names: str) -> str:
    return f"pm.expect({RESPONSE}.data.map((item) => item.name)).to.eql({json.dumps(names)})"


def header_is(name: str, value: str) -> str:
    return f'pm.expect(pm.response.headers.get("{name}")).to.equal({value})'


def header_has(name: str, text: str) -> str:
    return f'pm.expect(pm.response.headers.get("{name}")).to.include("{text}")'


def set_to(variable: str, template: str) -> str:
    """A statement; Postman fills the variables of the template in."""
    value = f'pm.variables.replaceIn("{template}")'
    return f'pm.collectionVariables.set("{variable}", {value});'
