"""A headless Chromium, driven over WebDriver's plain JSON: no package is needed, only Debian's chromium and driver."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from support.waiting import HANG_S, until

NAMES = {"browser": ("chromium", "chromium-browser", "google-chrome"), "driver": ("chromedriver",)}
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking "
    "--disable-component-update --disable-sync --no-first-run --force-color-profile=srgb"
)
WEBGL = "--use-angle=swiftshader --enable-unsafe-swiftshader"  # in software, so that it runs without a GPU
KEY = {"enter": "\ue007", "escape": "\ue00c", "space": " ", "tab": "\ue004", "shift": "\ue008"}
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def missing() -> str:
    """Name the programs that this machine lacks, and how to install them; empty where it has both."""
    lacking = [kind for kind, names in NAMES.items() if not any(map(shutil.which, names))]
    return f"no chromium {' and '.join(lacking)} here: apt-get install chromium chromium-driver" if lacking else ""


class Browser:
    """One window. Use it in a ``with`` statement, which ends both processes."""

    def __init__(self, folder: Path, webgl: bool = False) -> None:
        browser, driver = (next(filter(None, map(shutil.which, names))) for names in NAMES.values())
        log = folder / "chromedriver.log"
        self._output = log.open("wb")
        self.driver = subprocess.Popen([driver, "--port=0"], stdout=self._output, stderr=subprocess.STDOUT)
        self._url = f"http://127.0.0.1:{_port(log)}/session"
        chosen = FLAGS.replace("--disable-gpu", WEBGL) if webgl else FLAGS
        flags = [*chosen.split(), f"--user-data-dir={folder / 'profile'}"]
        options = {"binary": browser, "args": flags, "prefs": {"translate": {"enabled": False}}}
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            made = self._ask("POST", "", {"capabilities": {"alwaysMatch": capabilities}})
        except BaseException:
            self._end_driver()
            raise
        self._url += f"/{made['sessionId']}"

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._end_driver()

    def _end_driver(self) -> None:
        self.driver.terminate()
        try:
            self.driver.wait(HANG_S)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        self._output.close()

    def go(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return its result."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, css: str) -> str:
        return self.run("return document.querySelector(arguments[0]).innerText", css)

    def click(self, css: str) -> None:
        """Click as a person does: a hidden or covered element cannot be clicked."""
        found = self._ask("POST", "/element", {"using": "css selector", "value": css})[_ELEMENT]
        self._ask("POST", f"/element/{found}/click", {})

    def press(self, *keys: str) -> None:
        actions = [
            {"type": kind, "value": KEY.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")
        ]  # one after the other
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        screen = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        self._cdp("Emulation.setDeviceMetricsOverride", screen)
        self._cdp("Emulation.setTouchEmulationEnabled", {"enabled": mobile})

    def dark(self, on: bool = True) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self._cdp("Emulation.setEmulatedMedia", {"features": [scheme]})

    def screenshot(self, path: Path, whole: bool = False) -> None:
        shot = self._cdp("Page.captureScreenshot", {"captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(shot["data"]))

    def errors(self) -> list[str]:
        """Return the errors of the page's console since the last call: exceptions, and what its policy refused."""
        entries = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def wait(self, script: str, *arguments: Any) -> Any:
        """Run the script until it returns something true, and return that."""
        return until(lambda: self.run(script, *arguments), f"never true: {script} {arguments}")

    def _cdp(self, command: str, parameters: dict) -> dict:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _ask(self, method: str, path: str, value: dict | None = None) -> Any:
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self._url + path, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HANG_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')[:500]}") from error


def _port(log: Path) -> int:
    """Return the port that chromedriver reports in its log."""

    def port() -> int | None:
        _, found, rest = log.read_text(errors="replace").partition("started successfully on port ")
        return int(rest.partition(".")[0]) if found and "." in rest else None

    return until(port, lambda: f"chromedriver did not start: {log.read_text(errors='replace')}")
