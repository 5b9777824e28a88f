"use strict";

const SANS = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif";
const MONO = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

Redoc.init(
  // Relative, as every address of the page is: it works behind any prefix.
  "openapi.json",
  {
    expandResponses: "200,201",
    requiredPropsFirst: true,
    nativeScrollbars: true,
    // Fonts that the reader has: ReDoc's own choice would have to be loaded.
    theme: {
      spacing: { sectionVertical: 24 },
      typography: { fontFamily: SANS, headings: { fontFamily: SANS }, code: { fontFamily: MONO } },
    },
  },
  document.getElementById("page"),
);
