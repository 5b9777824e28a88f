"""The SDKs that docs/sdks.md tells how to make, each by the command that it shows."""

import argparse
import shlex
from pathlib import Path
from typing import Any, NamedTuple

OPENAPI_GENERATOR = "openapi-generator-cli"
DOCUMENT = "openapi.sdk.json"


class Sdk(NamedTuple):
    title: str  # the heading in docs/sdks.md
    command: str  # makes the SDK of openapi.sdk.json in the folder `satchel`

    @property
    def folder(self) -> str:
        return self.title.lower().replace(" ", "-").replace("(", "").replace(")", "")


def _openapi_generator(name: str, **options: str) -> str:
    command = f"{OPENAPI_GENERATOR} generate -i {DOCUMENT} -o satchel -g {name}"
    values = ",".join(f"{option}={value}" for option, value in options.items())
    return f"{command} --additional-properties={values}" if values else command


SDKS = (
    Sdk("Go", _openapi_generator("go", packageName="satchel")),
    Sdk("Ruby", _openapi_generator("ruby", gemName="satchel")),
    Sdk("TypeScript (hey-api)", f"npx openapi-ts -i {DOCUMENT} -o satchel"),
    Sdk("TypeScript (orval)", "npx orval --config orval.config.ts"),
    Sdk("TypeScript (fetch)", _openapi_generator("typescript-fetch")),
    Sdk(
        "TypeScript (axios)",
        _openapi_generator("typescript-axios", useSingleRequestParameter="true"),
    ),
    Sdk("Python", _openapi_generator("python", packageName="satchel")),
    Sdk(
        "Java",
        _openapi_generator(
            "java", library="native", useJakartaEe="true", useSingleRequestParameter="true"
        ),
    ),
    Sdk(
        "Kotlin",
        _openapi_generator(
            "kotlin", serializationLibrary="gson", generateOneOfAnyOfWrappers="true"
        ),
    ),
    Sdk("PHP", _openapi_generator("php", invokerPackage="Satchel")),
    Sdk("Rust", _openapi_generator("rust", packageName="satchel")),
)

# The document with forms, for which the generator needs a flag.
WHOLE = Sdk(
    "The whole document",
    f"{OPENAPI_GENERATOR} generate -i openapi.json -o satchel -g java"
    " --additional-properties=library=native,useJakartaEe=true"
    " --global-property skipFormModel=false",
)


def batch_entry(sdk: Sdk, top: Path) -> dict[str, Any] | None:
    """What openapi-generator's `batch` reads instead of the command; None if another makes it."""
    program, *arguments = shlex.split(sdk.command)
    if program != OPENAPI_GENERATOR:
        return None
    parser = argparse.ArgumentParser()
    parser.add_argument("generate")
    for flag in ("-i", "-o", "-g"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--additional-properties", default="")
    options = parser.parse_args(arguments)
    pairs = options.additional_properties.split(",") if options.additional_properties else []
    properties = dict(pair.split("=") for pair in pairs)
    return {
        "generatorName": options.g,
        "inputSpec": str(top / options.i),
        "outputDir": str(top / sdk.folder / options.o),
        "additionalProperties": properties,
    }
