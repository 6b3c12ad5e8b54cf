"""Node, Chromium and what they need: where they are, or why a test is skipped."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cvae_edge.kits.folder import sources

WEB = Path(__file__).parents[1] / "web"  # the tests in JavaScript
MODULES = WEB / "node_modules"
INSTALL = "npm ci --ignore-scripts in tests/web installs it"


def node(script: str, *arguments: object, timeout: float = 120) -> None:
    """Run a script of tests/web, or skip the test."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    command = [program, WEB / script, *arguments]
    subprocess.run([str(word) for word in command], check=True, timeout=timeout)


def need_package(name: str) -> Path:
    """Return the folder of an npm package, or skip the test."""
    folder = MODULES / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not installed: {INSTALL}")
    return folder


def need_chromium() -> str:
    """Return the path of a Chromium, or skip the test."""
    need_package("playwright-core")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return found


def answers(folder: Path, requests: list[dict[str, Any]]) -> list[Any]:
    """Return what the module in Node answers; an error fails the test."""
    asked, told = folder / "requests.json", folder / "answers.json"
    asked.write_text(json.dumps(requests))
    node("answer.js", sources("web"), asked, told)
    found = json.loads(told.read_text())
    assert not [answer for answer in found if "error" in answer]
    return [answer["value"] for answer in found]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *arguments: object) -> None:
        pass  # browsers end what they no longer need


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Serve a folder from a port of this machine."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:  # or its thread would ask a closed socket again and again
            server.shutdown()
