"""Serves a page for each problem type."""

import base64
import hashlib
import html

from fastapi import Response
from starlette.responses import HTMLResponse

from app.errors import NotFound, problem_types
from app.problems import slug

_STYLE = (
    "body{font:1rem/1.6 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}code{font-size:.95em}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}a{color:#8ab4ff}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "public, max-age=3600",
}
_TYPES = {slug(code): cls for code, cls in problem_types().items()}


async def explain_problem(slug: str) -> Response:
    """Explain a problem type."""
    problem = _TYPES.get(slug)
    if problem is None:
        raise NotFound
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(problem.title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(problem.title)}</h1>"
        f"<p>Status <code>{problem.status}</code>, code <code>{problem.code}</code></p>"
        f"<p>{html.escape(problem.detail)}</p><p>{html.escape(problem.explanation)}</p></html>"
    )
    return HTMLResponse(page, headers=_PAGE_HEADERS)
