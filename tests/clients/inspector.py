"""The inspector's page in Chromium, with the program and its gateway behind it: what is shown, sent again, saved, and said.

    python inspector.py PATH-OF-APIG-PROXY
"""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
from playwright.sync_api import Browser

from checks import Checks
from inspected import Inspected, Middlebox, inspected, wait_for
from inspector_page import TABS, InspectorPage, chromium

JSON = {"content-type": "application/json"}
SCHEMA = json.loads(Path(__file__).with_name("har.schema.json").read_text())


def some_requests(proxy: Inspected) -> dict[str, str]:
    """Sends a request of each kind; their ids by path."""
    proxy.send("GET", "/v1/models?limit=3")
    proxy.send("POST", "/v1/orders", b'{"flower":"rose","count":12345678901234567890}', JSON)
    proxy.send("POST", "/removed/flowers/predict?a=x+y", b'{"flower":"tulip"}', {**JSON, "connection": "keep-alive"})
    proxy.wait_for_ended(3)
    return {one["path"]: one["id"] for one in proxy.ended()}


def list_and_details(checks: Checks, shown: InspectorPage, ids: dict[str, str]) -> None:
    page = shown.page
    checks.check("t=" not in page.url, f"the token stays in the address: {page.url}")
    checks.check(shown.rows(3), f"rows: {page.locator('#list tbody tr').count()}")
    first = page.locator("#list tbody tr").first.inner_text()
    checks.check("/removed/flowers/predict" in first and "401 Unauthorized" in first and "APIG.0301" in first, f"the newest request: {first!r}")
    shown.open(ids["/removed/flowers/predict"])
    why = shown.tab("why")
    checks.check("APIG.0301" in why and "the path was changed by a device" in why, f"why: {why!r}")
    marks = page.locator("#panel mark").all_inner_texts()
    checks.check(len(marks) == 2 and "removed" in marks[0] and "removed" not in marks[1], f"the part that differs is marked: {marks}")
    changes = shown.tab("changes")
    for expected in ("+ set", "x-sdk-date", "x-stage", "− removed", "~ rewritten", "tulip"):
        checks.check(expected in changes, f"changes lack {expected!r}: {changes!r}")
    signature = shown.tab("signature")
    for expected in ("/removed/flowers/predict/⏎", "\n/∅flowers/predict/⏎", "SDK-HMAC-SHA256"):
        checks.check(expected in signature, f"the signature lacks {expected!r}: {signature!r}")
    checks.check(page.locator("#panel pre mark").count() == 2, "both canonical requests have the mark")
    checks.check("canonicalRequest" in shown.tab("answer"), "the answer has the body")
    checks.check("Gateway" in shown.tab("timing") and page.locator("#panel .lane").count() == 2, "the time of the request and of its attempt")
    checks.check("POST /removed/flowers/predict?a=x+y HTTP/1.1" in shown.tab("raw"), "the raw request")
    shown.open(ids["/v1/orders"])
    checks.check(shown.text_has("#detail-title", "/v1/orders"), "another request")
    checks.check("12345678901234567890" in shown.tab("changes"), "a number is shown as it came")


def filters(checks: Checks, shown: InspectorPage) -> None:
    page = shown.page
    page.fill("#filter", "status:401")
    checks.check(shown.rows(1), "a filter hides what does not match")
    page.reload()
    page.wait_for_selector("#link[data-link=live]")
    checks.check(shown.rows(1) and page.input_value("#filter") == "status:401", "a reload keeps the filter")
    page.click("[data-quick=all]")
    checks.check(shown.rows(3), "all are shown again")
    page.click("[data-quick=hint]")
    checks.check(shown.rows(1) and page.get_attribute("[data-quick=hint]", "aria-pressed") == "true", "those with a hint")
    page.click("[data-quick=all]")
    # Chromium reports the answer 400 itself.
    page.fill("#filter", "color:red")
    checks.check(shown.has("document.querySelector('#filter-error').innerText.length > 10"), "a wrong filter is explained")
    page.click("[data-quick=all]")
    checks.check(shown.rows(3), "the list comes back")
    expected = [line for line in shown.console if "400 (Bad Request)" in line]
    checks.check(expected == shown.console, f"a wrong filter: {shown.console}")
    shown.console.clear()


def replays(checks: Checks, shown: InspectorPage, proxy: Inspected, gateway: Middlebox, ids: dict[str, str]) -> None:
    page, before = shown.page, len(gateway.arrived)
    shown.open(ids["/v1/models"])
    shown.text_has("#detail-title", "/v1/models")
    page.click("#replay")
    checks.check(shown.rows(4) and len(gateway.arrived) == before + 1, "a GET is sent again at once")
    checks.check(shown.has(f"!location.hash.includes('{ids['/v1/models']}')"), "the new request is selected")
    shown.open(ids["/v1/orders"])
    shown.text_has("#detail-title", "/v1/orders")
    # Dates of signatures are in seconds.
    first = next(one for one in gateway.arrived if one.target == "/v1/orders")
    wait_for(lambda: datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ") > first.only("x-sdk-date"))
    page.click("#replay")
    page.wait_for_selector("dialog[data-dialog=replay][open]")
    checks.check(len(gateway.arrived) == before + 1, "a POST waits for the confirmation")
    shown.is_accessible(checks, "the confirmation")
    page.click("#cancel")
    page.wait_for_selector("dialog", state="detached")
    checks.check(len(gateway.arrived) == before + 1, "a POST that is not confirmed stays here")
    page.click("#replay")
    page.click("#confirm")
    checks.check(shown.rows(5) and len(gateway.arrived) == before + 2, "a confirmed POST is sent")
    checks.check(shown.has(f"!location.hash.includes('{ids['/v1/orders']}')"), "the new request is selected")
    again = gateway.arrived[-1]
    checks.check(again.target == first.target and again.body == first.body, f"the same request: {again}")
    checks.check(again.only("authorization") != first.only("authorization") and again.only("x-sdk-date") > first.only("x-sdk-date"), "a fresh signature")
    checks.check(proxy.wait_for_ended(5) and proxy.ended()[0]["status"] == 200 and proxy.ended()[0]["replay_of"] == ids["/v1/orders"], "the gateway accepts it")
    checks.check(shown.text_has("#list tbody tr", "replay"), "the list marks it")
    edited(checks, shown, proxy, gateway, ids)


def edited(checks: Checks, shown: InspectorPage, proxy: Inspected, gateway: Middlebox, ids: dict[str, str]) -> None:
    page = shown.page
    shown.open(ids["/v1/orders"])
    shown.text_has("#detail-title", "/v1/orders")
    page.click("#edit")
    page.wait_for_selector("dialog[data-dialog=edit][open]")
    shown.is_accessible(checks, "the editor")
    checks.check("content-type: application/json" in page.input_value("[name=headers]"), "the editor has the headers")
    page.fill("[name=target]", "/v1/edited?q=1")
    page.fill("[name=headers]", "content-type: text/plain\nx-own: a: b")
    page.fill("[name=body]", "line 1\nline 2")
    page.click("#confirm")
    page.wait_for_selector("dialog", state="detached")
    checks.check(shown.text_has("#detail-title", "/v1/edited"), "the edited request is selected")
    proxy.wait_for_ended(6)
    sent = gateway.arrived[-1]
    checks.check((sent.method, sent.target, sent.body) == ("POST", "/v1/edited?q=1", b"line 1\nline 2"), f"the edited request: {sent}")
    checks.check(sent.all("x-own") == ["a: b"] and sent.all("content-type") == ["text/plain"], f"its headers: {sent.headers}")
    checks.check(proxy.ended()[0]["status"] == 200, "the gateway accepts it, too")


def copies_and_archive(checks: Checks, shown: InspectorPage, ids: dict[str, str]) -> None:
    page = shown.page
    shown.open(ids["/v1/orders"])
    shown.text_has("#detail-title", "/v1/orders")
    page.click("#curl")
    page.wait_for_selector("#notice")
    copied = page.evaluate("navigator.clipboard.readText()")
    checks.check("curl" in copied and "/v1/orders" in copied and "authorization" not in copied.lower(), f"copied: {copied!r}")
    with page.expect_download() as download:
        page.click("#har")
    archive = json.loads(download.value.path().read_text())
    checks.check(download.value.suggested_filename.endswith(".har") and len(archive["log"]["entries"]) == 6, "the archive has all requests")
    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(archive):
        checks.check(False, f"the archive at {error.json_path}: {error.message[:200]}")
    entry = next(one for one in archive["log"]["entries"] if one["request"]["url"].endswith("/v1/orders"))
    checks.check("12345678901234567890" in entry["request"]["postData"]["text"] and entry["response"]["status"] == 200, "the archive has the request")
    page.fill("#filter", "status:401")
    shown.rows(1)
    with page.expect_download() as download:
        page.click("#har")
    checks.check(len(json.loads(download.value.path().read_text())["log"]["entries"]) == 1, "the archive follows the filter")
    page.click("[data-quick=all]")
    shown.rows(6)


def switches(checks: Checks, shown: InspectorPage, proxy: Inspected) -> None:
    page = shown.page
    page.click("#pause")
    page.wait_for_selector("#link[data-link=paused]")
    proxy.send("GET", "/v1/while-paused")
    proxy.wait_for_ended(7)
    checks.check(page.locator("#list tbody tr").count() == 6, "a paused page does not change")
    page.click("#pause")
    checks.check(shown.rows(7), "it shows what came meanwhile")
    page.click("#record")
    checks.check(shown.text_has("#strip", "capture is stopped"), "the strip says that capture is stopped")
    checks.check(proxy.send("GET", "/v1/unseen") == 200 and proxy.json("state")["is_recording"] is False, "requests pass all the same")
    page.click("#record")
    checks.check(shown.has("!document.querySelector('#strip').innerText.includes('capture is stopped')"), "capture goes on")
    proxy.send("GET", "/v1/seen?token=secret-value&a=b")
    proxy.wait_for_ended(8)
    checks.check(shown.rows(8) and not any(one["path"] == "/v1/unseen" for one in proxy.ended()), "what came meanwhile is not kept")
    shown.open(proxy.ended()[0]["id"])
    shown.text_has("#detail-title", "/v1/seen")
    page.click("#edit")
    target = page.input_value("[name=target]")
    checks.check(target.startswith("/v1/seen?token=‹token, 12 bytes, ") and target.endswith("›&a=b"), f"the editor has the whole target: {target!r}")
    page.click("#cancel")
    page.wait_for_selector("dialog", state="detached")
    page.click("#close")
    page.click("#clear")
    page.wait_for_selector("dialog[data-dialog=clear][open]")
    page.click("#confirm")
    page.wait_for_selector("#empty")
    checks.check(proxy.ended() == [], "nothing is kept any more")
    shown.is_accessible(checks, "the empty list")


def by_keyboard(checks: Checks, browser: Browser, proxy: Inspected, gateway: Middlebox) -> None:
    """Everything without a pointer."""
    some_requests(proxy)
    shown = InspectorPage(browser, proxy)
    page, press = shown.page, shown.page.keyboard.press
    shown.rows(3)
    press("/")
    checks.check(shown.has("document.activeElement.id === 'filter'"), "/ leads to the filter")
    page.keyboard.type("orders")
    checks.check(shown.rows(1), "the filter is typed")
    press("Escape")
    press("j")
    checks.check(shown.text_has("#detail-title", "/v1/orders"), "j selects a request")
    press("Enter")
    checks.check(shown.has("document.activeElement.id === 'detail-title'"), "Enter leads to the details")
    for _ in range(9):
        if page.evaluate("document.activeElement.role") == "tab":
            break
        press("Tab")
    for name in [*TABS[1:], "why"]:
        press("ArrowRight")
        checks.check(shown.has(f"document.activeElement.id === 'tab-{name}'"), f"an arrow leads to the tab {name}")
    before = len(gateway.arrived)
    press("r")
    page.wait_for_selector("dialog[data-dialog=replay][open]")
    checks.check(shown.has("document.activeElement.id === 'confirm'"), "the confirmation has the focus")
    press("Enter")
    checks.check(wait_for(lambda: len(gateway.arrived) == before + 1) and shown.rows(2), "Enter confirms")
    press("c")
    checks.check(shown.text_has("#notice", "Copied"), "c copies")
    press("Escape")
    checks.check(shown.has("document.activeElement.closest('tr') !== null && !document.querySelector('#panel')"), "Escape leads back to the row")
    press("p")
    page.wait_for_selector("#link[data-link=paused]")
    press("p")
    page.wait_for_selector("#link[data-link=live]")
    press("?")
    page.wait_for_selector("dialog[data-dialog=help][open]")
    shown.is_accessible(checks, "help")
    press("Escape")
    page.wait_for_selector("dialog", state="detached")
    press("x")
    page.wait_for_selector("dialog[data-dialog=clear][open]")
    press("Enter")
    checks.check(wait_for(lambda: proxy.ended() == []), "x clears")
    shown.is_silent(checks, "by keyboard")
    shown.close()


def looks(checks: Checks, browser: Browser, proxy: Inspected) -> None:
    """Two widths, both colours, both languages, without a violation of the rules of axe."""
    ids = some_requests(proxy)
    refused = ids["/removed/flowers/predict"]
    for width in (1280, 360):
        for colors in ("light", "dark"):
            what = f"{width} px, {colors}"
            shown = InspectorPage(browser, proxy, width, color_scheme=colors)
            shown.rows(3)
            checks.check(shown.page.evaluate("document.documentElement.scrollWidth") == width, f"{what}: it scrolls sideways")
            shown.is_accessible(checks, f"{what}, list")
            shown.open(refused)
            for name in TABS:
                shown.tab(name)
                shown.is_accessible(checks, f"{what}, {name}")
                checks.check(shown.page.evaluate("document.documentElement.scrollWidth") == width, f"{what}, {name}: it scrolls sideways")
            shown.is_silent(checks, what)
            shown.close()
    shown = InspectorPage(browser, proxy, query="?lang=zh", fragment=f"&id={refused}")
    page = shown.page
    checks.check(page.inner_text("#pause") == "暂停" and page.get_attribute("html", "lang") == "zh", "Chinese by the address")
    checks.check("原因" in page.inner_text("[role=tablist]") and "处理方法" in shown.tab("why"), "Chinese details")
    shown.is_accessible(checks, "Chinese")
    page.reload()
    page.wait_for_selector("#panel")
    checks.check(refused in page.url and page.inner_text("#pause") == "暂停", "a reload keeps selection and language")
    shown.is_silent(checks, "Chinese")
    shown.close()


def without_a_token(checks: Checks, browser: Browser, proxy: Inspected) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(proxy.page)
    page.wait_for_selector("#link[data-link=unauthorized]")
    text = page.inner_text("body")
    checks.check("needs a token" in text and "/v1/" not in text, f"without a token: {text!r}")
    page.goto(f"{proxy.page}#t={proxy.token}")
    page.wait_for_selector("#link[data-link=live]")
    context.close()


def control(checks: Checks, browser: Browser, proxy: Inspected) -> None:
    """What these checks would notice."""
    shown = InspectorPage(browser, proxy)
    shown.page.evaluate("document.head.append(Object.assign(document.createElement('link'), {rel: 'stylesheet', href: 'http://127.0.0.1:9/'}))")
    checks.check(shown.has("violations.length > 0") and shown.console, "a violation of the policy is noticed")
    shown.close()


def main() -> int:
    checks = Checks()
    with inspected(sys.argv[1]) as (proxy, gateway), chromium() as browser:
        ids = some_requests(proxy)
        shown = InspectorPage(browser, proxy)
        list_and_details(checks, shown, ids)
        filters(checks, shown)
        replays(checks, shown, proxy, gateway, ids)
        copies_and_archive(checks, shown, ids)
        switches(checks, shown, proxy)
        shown.is_silent(checks, "the page")
        shown.close()
        by_keyboard(checks, browser, proxy, gateway)
        looks(checks, browser, proxy)
        without_a_token(checks, browser, proxy)
        control(checks, browser, proxy)
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
