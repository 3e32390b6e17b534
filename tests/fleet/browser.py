"""A real browser without a window, driven through a pipe, without a network."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from tests.fleet.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# The protocol's pipes have to be the descriptors 3 and 4 of the browser.
_WITH_PIPES = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 10) for number in sys.argv[1:3]]
for number, pipe in enumerate(pipes, 3):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
_WITHIN = 60.0
_TABLET = 600


def find_browser() -> str:
    """Return the browser's path. Without one the test is skipped, or fails where CI is set."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing("there is no browser on this machine: install chromium")
    return found


class Page:
    """One tab. Speaks the DevTools protocol: JSON messages, each ended by a zero byte."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to = to_browser
        self._from = from_browser
        self._read = b""
        self._last = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []

    def attach(self) -> Self:
        """Open a tab and listen to what it loads and complains about."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        return self

    def open(self, page: Path | str, *, width: int, height: int = 800, dark: bool = False) -> None:
        """Show a file, or what is at a URL, on a screen of this size and wait until it is there."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < _TABLET,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", media="", features=[scheme])
        self._events.clear()
        self._ask("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self._wait_for("Page.loadEventFired")

    def value(self, script: str) -> Any:
        """Return what the expression ``script`` comes to in the page."""
        said = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def when(self, script: str) -> Any:
        """Return what the expression ``script`` comes to, once that is neither empty nor false."""
        waiting = f"""new Promise(done => {{
            const look = () => {{ const it = {script}; it ? done(it) : setTimeout(look, 20); }};
            look();
        }})"""
        said = self._ask(
            "Runtime.evaluate", expression=waiting, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def click(self, selector: str) -> None:
        """Click the middle of the first element that ``selector`` finds, as a person would."""
        script = f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found.scrollIntoView({{block: "center"}});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        x, y = self.value(script)
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self) -> bytes:
        """Return the whole page as a PNG."""
        said = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(said["data"])

    def as_printed(self) -> None:
        """Lay the page out as for paper."""
        self._ask("Emulation.setEmulatedMedia", media="print")

    def printed(self) -> bytes:
        """Return the page as it comes out of a printer, as a PDF."""
        return base64.b64decode(self._ask("Page.printToPDF", printBackground=True)["data"])

    @property
    def requested(self) -> list[str]:
        """What the page asked for since it was opened, itself included."""
        return [
            event["params"]["request"]["url"]
            for event in self._events
            if event["method"] == "Network.requestWillBeSent"
        ]

    @property
    def complaints(self) -> list[str]:
        """What the browser had to complain about since the page was opened."""
        found = []
        for event in self._events:
            if event["method"] == "Log.entryAdded":
                found.append(event["params"]["entry"]["text"])
            elif event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                found.append(json.dumps(event["params"]))
        return found

    def close_browser(self) -> None:
        """Ask the browser to end."""
        self._session = None
        self._send("Browser.close")

    def _send(self, method: str, **params: object) -> int:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._to, rest) :]
        return self._last

    def _ask(self, method: str, **params: object) -> dict[str, Any]:
        number = self._send(method, **params)
        until = time.monotonic() + _WITHIN
        while True:
            message = self._receive(until)
            if message.get("id") == number:
                assert "error" not in message, (method, message)
                answer: dict[str, Any] = message["result"]
                return answer

    def _wait_for(self, name: str) -> None:
        until = time.monotonic() + _WITHIN
        while not any(event["method"] == name for event in self._events):
            self._receive(until)

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self._from, 1 << 16)
            assert chunk, "the browser has gone"
            self._read += chunk
        line, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._events.append(message)
        return message


@contextmanager
def browser() -> Iterator[Page]:
    """Start a browser that knows nothing of an earlier one, and stop it at the end."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as directory:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _WITH_PIPES,
                str(to_read),
                str(from_write),
                find_browser(),
                *_FLAGS,
                f"--user-data-dir={directory}",
            ],
            pass_fds=(to_read, from_write),
            env={"PATH": os.environ["PATH"], "HOME": directory, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        page = Page(to_write, from_read)
        try:
            yield page.attach()
            page.close_browser()
            process.wait(_WITHIN)
        finally:
            process.kill()
            process.wait()
            os.close(to_write)
            os.close(from_read)
