"""Chromium without a window, spoken to in its own protocol through a pipe."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-quic"),
    "--remote-debugging-pipe",
)
_SECONDS = 60


def find() -> str | None:
    """Returns the program, where there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Tab:
    """A page that is open.

    Attributes:
      events: Events that the browser sent.
    """

    def __init__(self, read: int, write: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._read, self._write, self._rest, self._number = read, write, b"", 0
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol, and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression, waited for where it is a promise."""
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"]["value"]

    def open(self, page: Path) -> None:
        """Opens a file, and waits until it and its pictures are there."""
        self.events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def errors(self) -> list[dict[str, Any]]:
        """Returns the errors on the console, and uncaught exceptions."""
        return [
            event
            for event in self.events
            if event["method"] == "Runtime.exceptionThrown"
            or event["method"] == "Network.loadingFailed"
            or event["params"].get("entry", {}).get("level") in ("error", "warning")
            or event["params"].get("type") in ("error", "warning")
        ]

    def asked_for(self) -> set[str]:
        """Returns the schemes of all addresses that were requested."""
        return {
            event["params"]["request"]["url"].partition(":")[0]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        }

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 20)
            if not piece or time.monotonic() > until:
                raise RuntimeError("the browser has ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def opened(program: str, folder: Path) -> Iterator[Tab]:
    """Yields a tab of a browser whose own files are in `folder`."""
    (theirs, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    command = [program, *FLAGS, f"--user-data-dir={folder}"]
    shell = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{theirs_out}', "bash", *command]
    process = subprocess.Popen(
        shell, pass_fds=(theirs, theirs_out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    os.close(theirs)
    os.close(theirs_out)
    try:
        yield Tab(ours_in, ours_out)
    finally:
        process.terminate()
        process.wait(30)
        os.close(ours_in)
        os.close(ours_out)
