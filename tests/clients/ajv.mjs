// Validates values by the schemas of an OpenAPI document, and prints each that is refused. The values
// are JSON texts by the names of the schemas.

import { readFileSync } from "node:fs";
import addFormats from "ajv-formats";
import Ajv from "ajv/dist/2020.js";

const [document, values] = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, "utf8")));
const ajv = addFormats(new Ajv({ strict: true, allowUnionTypes: true, allErrors: true }));
ajv.addVocabulary(["example", ...Object.keys(document)]);
ajv.addSchema(document, "document");
for (const [name, texts] of Object.entries(values)) {
  const validate = ajv.getSchema(`document#/components/schemas/${name}`);
  for (const text of texts) {
    if (!validate(JSON.parse(text))) console.log(name, text, ajv.errorsText(validate.errors));
  }
}
