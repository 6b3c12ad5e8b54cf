"""Bundles go to the Hugging Face Hub and come back, against a stand-in of its API."""

from __future__ import annotations

import base64
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA

from cvae_edge import EdgeCVAE

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """What huggingface_hub asks for to make a repository, commit to it and download it."""

    files: dict[str, bytes]
    tokens: list[str]
    asked: list[str]  # names of files

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.tokens.append(self.headers.get("Authorization", ""))
        if self.path == "/api/repos/create":
            self._json({"url": f"{self._address()}/me/tiny"})
        elif self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self._json({"files": modes})
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            address = f"{self._address()}/me/tiny/commit/{COMMIT}"
            self._json({"commitUrl": address, "commitOid": COMMIT, "success": True})
        elif self.path == "/api/validate-yaml":  # the front matter of the card
            self._json({"errors": [], "warnings": []})
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(rf"/me/tiny/resolve/(?:main|{COMMIT})/(.+)", path):
            self.asked.append(found[1])
            content = self.files[found[1]]
            self._reply(content, ETag=f'"{found[1]}"', **{"X-Repo-Commit": COMMIT})
        elif path.startswith("/api/models/me/tiny/tree/"):
            sizes = {name: len(content) for name, content in self.files.items()}
            self._json([{"type": "file", "path": n, "size": s, "oid": n} for n, s in sizes.items()])
        elif path.startswith("/api/models/me/tiny"):
            siblings = [{"rfilename": name} for name in self.files]
            self._json({"id": "me/tiny", "sha": COMMIT, "siblings": siblings})
        else:
            self.send_error(404, "no such repository")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *words: Any) -> None:
        pass

    def _address(self) -> str:
        return f"http://{self.headers['Host']}"

    def _json(self, document: Any) -> None:
        self._reply(json.dumps(document).encode(), **{"Content-Type": "application/json"})

    def _reply(self, content: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    Hub.files, Hub.tokens, Hub.asked = {}, [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from huggingface_hub import constants

    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    of_file = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", of_file)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    yield Hub
    server.shutdown()


def test_a_bundle_comes_back_as_it_was(hub, run_cli, tmp_path):
    pushed = run_cli("push", "me/tiny", DATA / "tiny", "--json")
    assert pushed.code == 0, pushed.err
    assert json.loads(pushed.out)["commit"].endswith(COMMIT)
    assert "hf_secret" in hub.tokens[0]
    expected = {f.name: f.read_bytes() for f in (DATA / "tiny").iterdir()}
    assert hub.files == expected
    pulled = run_cli("pull", "me/tiny", "--out", tmp_path / "pulled")
    assert pulled.code == 0, pulled.err
    assert {f.name: f.read_bytes() for f in (tmp_path / "pulled").iterdir()} == expected
    EdgeCVAE.load(tmp_path / "pulled").generate(2)


def test_a_damaged_repository_is_refused_and_nothing_is_written(hub, run_cli, tmp_path):
    run_cli("push", "me/tiny", DATA / "tiny")
    hub.files["decoder.onnx"] = hub.files["decoder.onnx"][:-1] + b"?"
    refused = run_cli("pull", "me/tiny", "--out", tmp_path / "pulled")
    assert refused.code == 2
    assert "decoder.onnx was changed or damaged" in refused.err
    assert not (tmp_path / "pulled").exists()


def test_what_else_lies_in_a_repository_is_left_there(hub, run_cli, tmp_path):
    run_cli("push", "me/tiny", DATA / "tiny")
    hub.files["run_me.py"] = b"print('hello')"
    assert run_cli("pull", "me/tiny", "--out", tmp_path / "pulled").code == 0
    assert not (tmp_path / "pulled" / "run_me.py").exists()
    assert "run_me.py" not in hub.asked


@pytest.mark.parametrize("repository", ["me/missing", "me/a b", ""])
def test_a_repository_that_is_not_there_is_refused_in_one_sentence(hub, run_cli, repository):
    refused = run_cli("pull", repository, "--out", "nowhere")
    assert refused.code == 2
    assert len(refused.err.strip().splitlines()) == 1
    assert "Traceback" not in refused.err
