"""Serves the documentation pages, Swagger UI and ReDoc, from vendored files."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from html import escape
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from app.api.negotiation import accepts_gzip
from app.errors import NotFound

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Nothing from other hosts and nothing inline. Both pages have icons as data: URLs in their styles.
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self'"
)
# ReDoc adds two <style> elements: an empty one, which it fills through the CSSOM, and one for its
# scroll bars. Both are allowed by hash. The second may change with ReDoc's version; the console of
# the browser then shows the new hash. ReDoc's search runs in a worker made from a blob.
REDOC_POLICY = (
    f"{POLICY} 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='; worker-src blob:"
)

# All URLs are relative, so the pages work behind any prefix.
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="{assets}/favicon.svg">
{links}
</head>
<body>
<main id="page"></main>
<noscript>
This page needs JavaScript. The API is described in <a href="openapi.json">openapi.json</a>.
</noscript>
{scripts}
</body>
</html>
"""


def add_docs(app: FastAPI) -> None:
    """Add /docs, /redoc and their assets."""
    app.add_route(
        "/docs",
        _page(
            app.title,
            POLICY,
            ["swagger-ui/swagger-ui.css", "page.css"],
            ["swagger-ui/swagger-ui-bundle.js", "docs.js"],
        ),
        include_in_schema=False,
    )
    app.add_route(
        "/redoc",
        _page(app.title, REDOC_POLICY, ["page.css"], ["redoc/redoc.standalone.js", "redoc.js"]),
        include_in_schema=False,
    )
    app.add_route("/docs/assets/{fingerprint}/{name:path}", get_asset, include_in_schema=False)


def _page(
    title: str, policy: str, styles: list[str], scripts: list[str]
) -> Callable[[Request], Awaitable[Response]]:
    assets = f"docs/assets/{fingerprint()}"
    html = PAGE.format(
        title=escape(title),
        assets=assets,
        links="\n".join(f'<link rel="stylesheet" href="{assets}/{name}">' for name in styles),
        scripts="\n".join(f'<script src="{assets}/{name}"></script>' for name in scripts),
    )
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }

    async def get_page(_: Request) -> Response:
        return HTMLResponse(html, headers=headers)

    return get_page


def get_asset(request: Request) -> Response:
    """Serve an asset that clients may cache for good, since its URL changes with its content.

    A plain function runs in a thread: the first compression takes about 50 ms.
    """
    name = request.path_params["name"]
    file = files().get(name)
    if file is None or request.path_params["fingerprint"] != fingerprint():
        raise NotFound
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Vary": "Accept-Encoding",
    }
    if accepts_gzip(",".join(request.headers.getlist("Accept-Encoding"))):
        headers["Content-Encoding"] = "gzip"
        content = compressed(file)
    else:
        content = file.read_bytes()
    media_type = MEDIA_TYPES.get(file.suffix, "text/plain")
    return Response(content, headers=headers, media_type=media_type)


@cache
def files() -> dict[str, Path]:
    """All files below STATIC, by relative name."""
    return {f.relative_to(STATIC).as_posix(): f for f in sorted(STATIC.rglob("*")) if f.is_file()}


@cache
def fingerprint() -> str:
    """A digest of all files, which stands in their URLs."""
    digest = hashlib.sha256()
    for name, file in files().items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


@cache
def compressed(file: Path) -> bytes:
    """Compress a file, once per process."""
    return gzip.compress(file.read_bytes(), mtime=0)
