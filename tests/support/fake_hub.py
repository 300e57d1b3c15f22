"""A hub on this machine: the few routes of huggingface.co that downloads and uploads use, behind a real socket."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_" + "t" * 30
COMMIT = "c" * 40


@dataclass
class FakeHub:
    """Repositories by name, with their files. gated: ask for a token. cut: bytes after which a file's download breaks
    off, and the hub is down. sent: bytes of file content that were sent. commits: what was uploaded, by repository."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    licenses: dict[str, str] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    cut: dict[str, int] = field(default_factory=dict)
    down: bool = False
    sent: int = 0
    ranges: list[str] = field(default_factory=list)
    uploads: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)

    def add(self, repository: str, folder: Path) -> None:
        """A repository with the files of a folder."""
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        self.repositories[repository] = {str(path.relative_to(folder)): path.read_bytes() for path in files}


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def parse_request(self) -> bool:
        """Answer nothing while the hub is down."""
        self.close_connection = self.hub.down
        return not self.hub.down and super().parse_request()

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._about("/".join(parts[2:4]), parts[4:])
        else:
            self._file(body=True)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "Invalid username or password.")
        elif parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.hub.uploads.setdefault(name, {})
            self.hub.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            self._json({"url": f"http://{self.headers['Host']}/{name}", "name": name})
        elif parts[4:5] == ["preupload"]:
            files = json.loads(body)["files"]
            told = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]
            self._json({"files": told})
        elif parts[4:5] == ["commit"]:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.hub.uploads["/".join(parts[2:4])][line["value"]["path"]] = content
            url = f"http://{self.headers['Host']}/{'/'.join(parts[2:4])}/commit/{COMMIT}"
            self._json({"commitUrl": url, "commitOid": COMMIT, "success": True})
        else:
            self._json({})

    def _about(self, repository: str, rest: list[str]) -> None:
        if not self._may(repository):
            return
        files = self.hub.repositories[repository]
        if rest[:1] == ["tree"]:
            self._json([
                {"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
                for name, content in files.items()
            ])  # fmt: skip
            return
        license = self.hub.licenses.get(repository)
        self._json({
            "id": repository, "modelId": repository, "sha": COMMIT, "private": False, "tags": [], "downloads": 0,
            "cardData": {"license": license} if license else None,
            "siblings": [
                {"rfilename": name, "size": len(content), "blobId": _etag(content)} | self._lfs(name, content)
                for name, content in files.items()
            ],
        })  # fmt: skip

    def _lfs(self, name: str, content: bytes) -> dict[str, Any]:
        if not self._is_large(name):
            return {}
        return {"lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}}

    def _is_large(self, name: str) -> bool:
        return name.endswith((".onnx", ".safetensors", ".bin"))

    def _file(self, *, body: bool) -> None:
        org, name, _, _, *path = unquote(urlsplit(self.path).path).strip("/").split("/")
        if not self._may(f"{org}/{name}"):
            return
        file = "/".join(path)
        content = self.hub.repositories[f"{org}/{name}"].get(file)
        if content is None:
            self._refuse(404, "Entry not found", "EntryNotFound")
            return
        etag = hashlib.sha256(content).hexdigest() if self._is_large(file) else _etag(content)
        start, asked = 0, self.headers.get("Range")
        if asked:
            self.hub.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").split("-")[0])
        part = content[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for key, value in {
            "X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Content-Length": str(len(part)),
            "Accept-Ranges": "bytes",
        }.items():  # fmt: skip
            self.send_header(key, value)
        self.end_headers()
        if not body:
            return
        cut = self.hub.cut.pop(file, None)
        self.wfile.write(part if cut is None else part[:cut])
        self.hub.sent += len(part if cut is None else part[:cut])
        if cut is not None:
            self.hub.down = True
            self.wfile.flush()
            self.close_connection = True

    def _may(self, repository: str) -> bool:
        shown = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository not in self.hub.repositories:
            self._refuse(401 if not shown else 404, "Repository not found", "RepoNotFound")
        elif repository in self.hub.gated:
            self._refuse(403 if shown else 401, f"Access to model {repository} is restricted.", "GatedRepo")
        else:
            return True
        return False

    def _refuse(self, status: int, why: str, code: str = "") -> None:
        headers = {"X-Error-Message": why} | ({"X-Error-Code": code} if code else {})
        self._json({"error": why}, status, headers)

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for key, told in {
            "Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})
        }.items():  # fmt: skip
            self.send_header(key, told)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # as git, and the hub, name it


@contextlib.contextmanager
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub behind a socket, with huggingface_hub pointed at it, a cache of its own and no token."""
    from huggingface_hub import constants

    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
        "HF_TOKEN_PATH": str(tmp_path / "no-token"), "HF_STORED_TOKENS_PATH": str(tmp_path / "no-tokens"),
    }.items():  # fmt: skip
        monkeypatch.setattr(constants, name, value)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
