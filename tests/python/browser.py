"""Opens the portal in a real browser, and does there what people do.

    browser.py STORY URL KEY [SCREENSHOT]

Chromium is driven by chromedriver, over the WebDriver protocol. The answer, on standard output, is JSON: what was
seen, the requests that the browser made, and what its console says. It may talk to the gateway alone: every other name
leads nowhere.
"""

import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

PATIENCE = 60
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A browser of its own, with a profile of its own."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        driver = shutil.which("chromedriver") or sys.exit("chromedriver is missing: run `make test`, which installs it")
        self.profile = tempfile.TemporaryDirectory()
        self.driver = subprocess.Popen(
            [driver, f"--port={port}", "--allowed-ips=127.0.0.1", "--log-level=OFF"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.base = f"http://127.0.0.1:{port}"
        self.wait("the driver", lambda: self.ask("GET", "/status")["ready"])
        flags = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
            --disable-component-update --disable-sync --disable-default-apps --disable-dev-shm-usage
            --window-size=1200,1000""".split()
        flags += [f"--user-data-dir={self.profile.name}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        wanted = {
            "browserName": "chrome",
            # Those of a test are signed by an authority of its own.
            "acceptInsecureCerts": True,
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.base += f"/session/{session['sessionId']}"

    def ask(self, method, path, body=None):
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise Failed(json.load(error)["value"]["message"].splitlines()[0]) from None

    def close(self):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()

    def wait(self, what, condition):
        """Until the condition holds, which may fail until then."""
        end, last = time.monotonic() + PATIENCE, None
        while time.monotonic() < end:
            try:
                last = condition()
                if last:
                    return last
            except (Failed, OSError) as error:
                last = error
            time.sleep(0.05)
        shown = self.ask("POST", "/execute/sync", {"script": "return document.body.innerText", "args": []})
        raise SystemExit(f"it never came: {what} ({last})\n{shown[:3000]}\n{json.dumps(self.console())}")

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def script(self, script, *args):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def later(self, script, *args):
        """What a script hands to its last argument, a function."""
        return self.ask("POST", "/execute/async", {"script": script, "args": list(args)})

    def find(self, css):
        return self.ask("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        def click():
            element = self.find(css)
            self.script("arguments[0].scrollIntoView({block: 'center'})", {ELEMENT: element})
            self.ask("POST", f"/element/{element}/click")
            return True

        self.wait(f"a click on {css}", click)

    def write(self, css, text, over=False):
        def write():
            element = self.find(css)
            if over:
                self.ask("POST", f"/element/{element}/clear")
            self.ask("POST", f"/element/{element}/value", {"text": text})
            return True

        self.wait(f"a text in {css}", write)

    def text(self, css):
        """The text of an element, once it has one."""
        return self.wait(f"a text of {css}", lambda: self.ask("GET", f"/element/{self.find(css)}/text"))

    def count(self, css):
        return self.script("return document.querySelectorAll(arguments[0]).length", css)

    def shoot(self, file):
        with open(file, "wb") as out:
            out.write(base64.b64decode(self.ask("GET", "/screenshot")))

    def console(self):
        return [f"{line['level']}: {line['message']}" for line in self.log("browser")]

    def log(self, kind):
        return self.ask("POST", "/se/log", {"type": kind})

    def requests(self):
        """Method and address of all that was asked for, by whatever page."""
        lines = [json.loads(line["message"])["message"] for line in self.log("performance")]
        sent = [line["params"]["request"] for line in lines if line["method"] == "Network.requestWillBeSent"]
        # The browser's own start page is part of the browser.
        own = ("chrome://", "data:", "about:")
        return [[one["method"], one["url"]] for one in sent if not one["url"].startswith(own)]


class Failed(Exception):
    pass


class Page:
    """Swagger UI in the browser."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.open(url)
        browser.wait("the document", lambda: browser.count(".info .title"))

    def authorize(self, key):
        b = self.browser
        b.click(".auth-wrapper .authorize")
        b.write(".auth-container input", key)
        b.click(".auth-container .modal-btn.authorize")
        b.wait("being authorized", lambda: b.count(".auth-container .modal-btn:not(.authorize):not(.btn-done)"))
        b.click(".modal-ux .btn-done")

    def operation(self, operation):
        """Where an operation stands, opened."""
        css = f"[id$='-{operation}']"
        self.browser.wait(operation, lambda: self.browser.count(css))
        if not self.browser.count(f"{css}.is-open"):
            self.browser.click(f"{css} .opblock-summary-control")
        return css

    def execute(self, operation, parameters=None, body=None):
        """Tries an operation out; status and body of the answer."""
        b, css = self.browser, self.operation(operation)
        if not b.count(f"{css} .execute"):
            b.click(f"{css} .try-out__btn")
        for name, value in (parameters or {}).items():
            b.write(f"{css} tr[data-param-name='{name}'] input", value, over=True)
        if body is not None:
            b.write(f"{css} textarea.body-param__text", body, over=True)
        if b.count(f"{css} .btn-clear"):
            b.click(f"{css} .btn-clear")
        b.click(f"{css} .execute")
        live = f"{css} .live-responses-table .response"
        status = b.text(f"{live} .response-col_status")
        return [status.split()[0], b.text(f"{live} .response-col_description pre")]

    def operations(self):
        b = self.browser
        return b.script("return [...document.querySelectorAll('.opblock-summary-path')].map(e => e.innerText)")


def everyday(browser, url, key, screenshot=None):
    """Authorize, try a GET and a POST, and try without a key."""
    page = Page(browser, url)
    seen = {"title": browser.text(".info .title"), "operations": page.operations()}
    seen["without"] = page.execute("read_user", {"id": "1"})
    page.authorize(key)
    seen["get"] = page.execute("read_user", {"id": "1"})
    seen["post"] = page.execute("create_user", body='{"name": "Eve", "email": "eve@example.com"}')
    if screenshot:
        browser.script("document.querySelector('[id$=create_user] .opblock-summary-control').click()")
        browser.script("document.querySelector('#portal').scrollIntoView()")
        browser.script("window.scrollTo(0, 0)")
        browser.shoot(screenshot)
    return seen


def allowed(browser, url, key):
    """What is shown before and after it is known who asks."""
    page = Page(browser, url)
    seen = {"before": page.operations()}
    page.authorize(key)
    browser.wait("more operations", lambda: len(page.operations()) != len(seen["before"]))
    seen["after"] = page.operations()
    browser.click(".auth-wrapper .authorize")
    browser.click(".auth-container .modal-btn:not(.authorize):not(.btn-done)")
    browser.click(".modal-ux .btn-done")
    browser.wait("fewer operations", lambda: page.operations() == seen["before"])
    return seen


def hostile(browser, url, key):
    """A page over specs that mean ill."""
    page = Page(browser, url)
    for button in range(browser.count(".opblock-summary-control")):
        browser.script("document.querySelectorAll('.opblock-summary-control')[arguments[0]].click()", button)
    browser.wait("open operations", lambda: browser.count(".opblock.is-open .responses-inner"))
    kinds = "script iframe style u img object form[action] [onerror] [onload] [onclick]".split()
    live = ", ".join(f"#portal {kind}" for kind in kinds)
    return {
        "live": browser.count(live),
        "pictures": browser.script("return [...document.images].map(e => e.src)"),
        "links": browser.script("return [...document.querySelectorAll('#portal a[href]')].map(e => e.href)"),
        "alerts": browser.script("return window.alerted || 0"),
        "operations": page.operations(),
    }


def plain(browser, url, key):
    """Any page, as it comes."""
    browser.open(url)
    return {}


def main():
    story, url, *rest = sys.argv[1:]
    browser = Browser()
    try:
        seen = {"everyday": everyday, "allowed": allowed, "hostile": hostile, "plain": plain}[story](browser, url, *rest)
        seen["requests"] = browser.requests()
        seen["console"] = browser.console()
    finally:
        browser.close()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
