"use strict";

SwaggerUIBundle({
  domNode: document.getElementById("page"),
  // Relative, as every address of the page is: it works behind any prefix.
  url: "openapi.json",
  // Only these: with the base preset too, OpenAPI 3.1 documents are shown as 2.0.
  presets: [SwaggerUIBundle.presets.apis],
  // The default sends the document's address to a foreign validator.
  validatorUrl: null,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  showCommonExtensions: true,
});
