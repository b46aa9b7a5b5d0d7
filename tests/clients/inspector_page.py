"""The inspector's page in Chromium: what it asks for and complains about is kept, and waiting is bounded.

The names that tests rely on, of elements of the page:
    #link[data-link=connecting|live|paused|ended|unauthorized]  #pause #record #clear #har #help  #strip  #notice
    #filter #filter-error [data-quick=all|error|hint|slow|open]  #list tr[data-id][data-state]  #empty
    #detail #detail-title #replay #edit #curl #close  #tab-{why,changes,signature,answer,timing,raw} #panel
    [data-copy=curl|python|raw]  dialog[data-dialog=replay|edit|clear|help] #confirm
"""

from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from checks import Checks
from inspected import PATIENCE, Inspected

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# Violations of the page's policy, which Chromium would only write to the console.
WATCH = "window.violations = []; addEventListener('securitypolicyviolation', event => violations.push(event.violatedDirective));"
TABS = ["why", "changes", "signature", "answer", "timing", "raw"]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class InspectorPage:
    """A page in a context of its own."""

    def __init__(self, browser: Browser, proxy: Inspected, width: int = 1280, height: int = 800, query: str = "", fragment: str = "",
                 **options: object) -> None:
        size = {"width": width, "height": height}
        self.context: BrowserContext = browser.new_context(viewport=size, accept_downloads=True,
                                                           permissions=["clipboard-read", "clipboard-write"], **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.add_init_script(WATCH)
        # What the page said, and what it asked of others.
        self.console: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        own = (f"http://127.0.0.1:{proxy.admin_port}/", "blob:")
        self.page.on("request", lambda request: request.url.startswith(own) or self.foreign.append(request.url))
        self.page.goto(f"{proxy.page}{query}#t={proxy.token}{fragment}")
        self.page.wait_for_selector("#link[data-link=live]")

    def has(self, expression: str) -> bool:
        """Waits until an expression holds. `wait_for_function` evaluates text in the page, against its policy."""
        for _ in range(PATIENCE * 20):
            if self.page.evaluate(expression):
                return True
            self.page.wait_for_timeout(50)
        return False

    def text_has(self, selector: str, text: str) -> bool:
        return self.has(f"!!document.querySelector({selector!r})?.innerText.includes({text!r})")

    def rows(self, count: int) -> bool:
        return self.has(f"document.querySelectorAll('#list tbody tr').length === {count}")

    def open(self, id_: str) -> None:
        self.page.locator(f"tr[data-id='{id_}']").click()
        self.page.wait_for_selector("#panel")
        self.has(f"location.hash.includes('{id_}')")

    def tab(self, name: str) -> str:
        """Opens a tab of the details; its text."""
        self.page.click(f"#tab-{name}")
        self.has(f"document.querySelector('#panel')?.getAttribute('aria-labelledby') === 'tab-{name}'")
        if name == "raw":
            self.text_has("#panel pre", "HTTP/1.1")
        return self.page.inner_text("#panel")

    def is_accessible(self, checks: Checks, what: str) -> None:
        found = Axe().run(self.page).response["violations"]
        shown = [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]
        checks.check(not found, f"axe, {what}: {shown}")

    def is_silent(self, checks: Checks, what: str) -> None:
        checks.check(not self.console, f"{what}: the console has {self.console[:5]}")
        checks.check(not self.foreign, f"{what}: requests to other origins: {self.foreign[:5]}")
        checks.check(self.page.evaluate("violations") == [], f"{what}: violations of the policy")

    def close(self) -> None:
        self.context.close()
