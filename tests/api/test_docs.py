import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI
from playwright.async_api import Page, Route, async_playwright, expect
from sqlalchemy import URL

from app.api.docs import pages as docs
from app.errors import NotFound
from tests.factories import make_key
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE

PAGES = ["/docs", "/redoc"]
MILLISECONDS = PATIENCE * 1000
expect.set_options(timeout=MILLISECONDS)


@pytest.fixture
def documented() -> FastAPI:
    app = FastAPI(title="Bags & <b>boxes</b>", docs_url=None, redoc_url=None)
    docs.add_docs(app)
    return app


@pytest.fixture
async def browsing(documented: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the pages behind a proxy's prefix."""
    transport = httpx.ASGITransport(app=documented, root_path="/shop")
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test/shop/", headers={"Accept-Encoding": ""}
    ) as client:
        yield client


def asset(name: str) -> str:
    return f"docs/assets/{docs.fingerprint()}/{name}"


def directives(policy: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


class TestPages:
    @pytest.mark.parametrize("path", PAGES)
    async def test_headers(self, browsing: httpx.AsyncClient, path: str) -> None:
        answer = await browsing.get(path)

        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Referrer-Policy"] == "no-referrer"

    @pytest.mark.parametrize("path", PAGES)
    async def test_policy_names_no_foreign_host_and_allows_nothing_inline(
        self, browsing: httpx.AsyncClient, path: str
    ) -> None:
        policy = directives((await browsing.get(path)).headers["Content-Security-Policy"])

        assert policy["default-src"] == policy["frame-ancestors"] == ["'none'"]
        assert policy["base-uri"] == policy["form-action"] == ["'none'"]
        assert policy["script-src"] == policy["connect-src"] == ["'self'"]
        allowed = {source for sources in policy.values() for source in sources}
        hashes = {source for source in allowed if source.startswith("'sha256-")}
        assert allowed - hashes <= {"'none'", "'self'", "data:", "blob:"}

    @pytest.mark.parametrize("path", PAGES)
    async def test_title_is_that_of_the_app_escaped(
        self, browsing: httpx.AsyncClient, path: str
    ) -> None:
        answer = await browsing.get(path)

        assert "<title>Bags &amp; &lt;b&gt;boxes&lt;/b&gt;</title>" in answer.text

    @pytest.mark.parametrize("path", PAGES)
    async def test_everything_a_page_names_is_there_behind_the_prefix(
        self, browsing: httpx.AsyncClient, path: str
    ) -> None:
        answer = await browsing.get(path)

        addresses = re.findall(r'(?:src|href)="([^"]*)"', answer.text)
        assert len(addresses) >= 5
        for address in addresses:
            target = await browsing.get(urljoin(str(answer.url), address))
            assert target.status_code == 200
            assert str(target.url).startswith("http://test/shop/")
        assert "<style" not in answer.text
        assert answer.text.count("<script") == answer.text.count("<script src=")

    @pytest.mark.parametrize("path", [*PAGES, asset("favicon.svg")])
    async def test_head_has_the_headers_of_get(
        self, browsing: httpx.AsyncClient, path: str
    ) -> None:
        assert (await browsing.head(path)).headers == (await browsing.get(path)).headers

    def test_stay_out_of_the_api_description(self, documented: FastAPI) -> None:
        assert documented.openapi()["paths"] == {}


class TestAssets:
    @pytest.mark.parametrize(
        ("name", "media_type"),
        [
            ("swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
            ("swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
            ("favicon.svg", "image/svg+xml"),
            ("redoc/LICENSE", "text/plain; charset=utf-8"),
        ],
    )
    @pytest.mark.parametrize("encoding", [None, "gzip"])
    async def test_is_immutable_and_compressed_on_request(
        self, browsing: httpx.AsyncClient, name: str, media_type: str, encoding: str | None
    ) -> None:
        answer = await browsing.get(asset(name), headers={"Accept-Encoding": encoding or ""})

        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == media_type
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.content == (docs.STATIC / name).read_bytes()

    async def test_is_compressed_once(
        self, browsing: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        docs.compressed.cache_clear()
        sizes: list[int] = []
        compress = gzip.compress

        def counted(content: bytes, *, mtime: float) -> bytes:
            sizes.append(len(content))
            return compress(content, mtime=mtime)

        monkeypatch.setattr(gzip, "compress", counted)
        answers = [
            await browsing.get(asset("page.css"), headers={"Accept-Encoding": "gzip"})
            for _ in range(3)
        ]

        assert {answer.headers["Content-Encoding"] for answer in answers} == {"gzip"}
        assert sizes == [len(answers[0].content)]

    @pytest.mark.parametrize(
        "path",
        [
            asset("missing.js"),
            asset(""),
            asset("swagger-ui"),
            asset("..%2fdocs.py"),
            "docs/assets/0000000000000000/page.css",
        ],
    )
    async def test_unknown_is_not_found(self, browsing: httpx.AsyncClient, path: str) -> None:
        with pytest.raises(NotFound):
            await browsing.get(path)

    def test_address_changes_with_any_content(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def fingerprint() -> str:
            docs.files.cache_clear()
            docs.fingerprint.cache_clear()
            return docs.fingerprint()

        monkeypatch.setattr(docs, "STATIC", tmp_path)
        (tmp_path / "page.css").write_text("a")
        first = fingerprint()
        (tmp_path / "page.css").write_text("b")
        second = fingerprint()
        (tmp_path / "page.css").rename(tmp_path / "other.css")
        third = fingerprint()
        monkeypatch.undo()

        assert len({first, second, third, fingerprint()}) == 4

    @pytest.mark.parametrize(
        ("package", "bundle", "notices"),
        [
            ("swagger-ui-dist", "swagger-ui/swagger-ui-bundle.js", ["LICENSE", "NOTICE"]),
            ("redoc", "redoc/redoc.standalone.js", ["LICENSE"]),
        ],
    )
    def test_vendored_version_is_the_recorded_one_with_its_licence(
        self, package: str, bundle: str, notices: list[str]
    ) -> None:
        record = (docs.STATIC / "VENDORED").read_text()
        found = re.search(rf"^{package}@(\S+) sha512-\S+$", record, re.MULTILINE)
        assert found is not None
        file = docs.STATIC / bundle
        assert f'"{found[1]}"' in file.read_text()
        for notice in notices:
            assert (file.parent / notice).read_text()


@asynccontextmanager
async def visit(
    chromium: str, server_url: str, path: str, width: int = 1280
) -> AsyncIterator[Page]:
    """A page in a browser that reaches only the server. Errors and warnings fail the test."""
    complaints: list[str] = []

    async def let_own_pass(route: Route) -> None:
        if route.request.url.startswith((f"{server_url}/", "blob:", "data:")):
            await route.continue_()
        else:
            complaints.append(route.request.url)
            await route.abort()

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            timeout=MILLISECONDS,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        page = await browser.new_page(viewport={"width": width, "height": 800})
        page.set_default_timeout(MILLISECONDS)
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type in {"error", "warning"} else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.route("**/*", let_own_pass)
        try:
            await page.goto(f"{server_url}{path}")
            yield page
        except Exception as error:
            error.add_note(f"Errors and warnings of the browser: {complaints}")
            raise
        finally:
            await browser.close()
    assert complaints == []


async def overflow(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    measure = (
        "(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(document.documentElement)"
    )
    return int(await page.evaluate(measure))


@pytest.mark.slow
class TestInChromium:
    async def test_swagger_ui_creates_an_account(self, chromium: str, server_url: str) -> None:
        async with visit(chromium, server_url, "/docs") as page:
            operation = page.locator(".opblock-post", has=page.locator('[data-path="/accounts"]'))
            await operation.locator(".opblock-summary-control").click()
            await operation.get_by_role("button", name="Try it out").click()
            await operation.locator("textarea.body-param__text").fill(
                '{"email": "ada@example.com", "username": "ada"}'
            )
            await operation.get_by_role("button", name="Execute").click()
            answer = operation.locator(".live-responses-table tbody")
            await expect(answer.locator("td.response-col_status").first).to_contain_text("201")
            await expect(answer).to_contain_text("ada@example.com")
            await expect(operation.get_by_text("Request duration")).to_be_visible()

    async def test_swagger_ui_sends_the_key_that_it_is_given(
        self, chromium: str, database: URL, start_server: Callable[..., Server]
    ) -> None:
        key = await make_key(database, "write")
        environment = {**server_environment(database), "AUTH_MODE": "on"}
        server = await asyncio.to_thread(start_server, environment)
        async with visit(chromium, server.url, "/docs") as page:
            await page.get_by_role("button", name="Authorize").first.click()
            dialog = page.locator(".dialog-ux")
            await dialog.locator("input").fill(key)
            await dialog.get_by_role("button", name="Apply credentials").click()
            await dialog.get_by_role("button", name="Close").last.click()
            operation = page.locator(".opblock-post", has=page.locator('[data-path="/accounts"]'))
            await operation.locator(".opblock-summary-control").click()
            await operation.get_by_role("button", name="Try it out").click()
            await operation.locator("textarea.body-param__text").fill(
                '{"email": "ada@example.com", "username": "ada"}'
            )
            await operation.get_by_role("button", name="Execute").click()
            answer = operation.locator(".live-responses-table tbody")
            await expect(answer.locator("td.response-col_status").first).to_contain_text("201")
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
            assert (await client.get("/accounts")).status_code == 401

    async def test_redoc_shows_every_operation(self, chromium: str, server_url: str) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            paths = (await client.get(f"{server_url}/openapi.json")).json()["paths"]
        operations = {
            operation["operationId"] for path in paths.values() for operation in path.values()
        }
        async with visit(chromium, server_url, "/redoc") as page:
            await page.locator("[id$='operation/create_account']").first.wait_for()
            sections = await page.locator("[id*='operation/']").all()
            ids = [await section.get_attribute("id") or "" for section in sections]
            assert {name.rpartition("/")[2] for name in ids} == operations
            # The search runs in a worker, which the policy must allow.
            await page.get_by_role("textbox").first.fill("account")
            await page.locator("[data-role='search:results'] li").first.wait_for()

    @pytest.mark.parametrize("width", [360, 1280])
    @pytest.mark.parametrize(
        ("path", "shown"), [("/docs", ".opblock"), ("/redoc", "[id*='operation/']")]
    )
    async def test_fits_the_window(
        self, chromium: str, server_url: str, path: str, shown: str, width: int
    ) -> None:
        async with visit(chromium, server_url, path, width) as page:
            await page.locator(shown).first.wait_for()
            assert await overflow(page) == 0
