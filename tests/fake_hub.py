"""A model hub on this machine: the few endpoints of the real one that push and pull need.

It speaks HTTP, so that huggingface_hub itself is tested with what galgen asks of it. Tokens say
who somebody is: ``hf_anna`` is anna, who may write what is hers and sees what is private of hers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], gone: list[str] = []) -> str:  # noqa: B006
        """A new version of main, with these files changed."""
        now = dict(self.commits.get(self.branches.get("main", ""), {})) | files
        now = {name: content for name, content in now.items() if name not in gone}
        text = repr((len(self.commits), sorted(now.items())))
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = now
        self.branches["main"] = sha
        return sha


class FakeHub:
    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        #: (method, path) of every request.
        self.asked: list[tuple[str, str]] = []
        #: Paths answered with this status, as long as they are here.
        self.broken: dict[str, int] = {}
        self.url = ""

    def make(self, name: str, private: bool = False, files: dict[str, bytes] | None = None) -> Repo:
        repo = Repo(private)
        repo.commit({".gitattributes": b"* text", **(files or {})})
        self.repos[name] = repo
        return repo

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        repo = self.repos[name]
        return repo.commits[repo.branches.get(revision, revision)]


class Refusal(Exception):
    def __init__(self, status: int, code: str = "", **body: str) -> None:
        self.status, self.code, self.body = status, code, body


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer hf_")
        try:
            for part, status in self.hub.broken.items():
                if part in path:
                    raise Refusal(status)
            found = self._route(path, body, token)
        except Refusal as refused:
            body = json.dumps(refused.body).encode()
            self._send(refused.status, body, {"X-Error-Code": refused.code})
            return
        content, headers = found if isinstance(found, tuple) else (json.dumps(found).encode(), {})
        self._send(200, content, headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _route(self, path: str, body: bytes, who: str) -> Any:
        if path == "/api/repos/create":
            return self._create(json.loads(body), who)
        if path == "/api/validate-yaml":
            return {"warnings": [], "errors": []}
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/([\w-]+)/(.+))?", path):
            name, verb, revision = found.groups()
            if verb == "preupload":
                self._may_write(name, who)
                files = json.loads(body)["files"]
                return {"files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in files
                ]}  # fmt: skip
            if verb == "commit":
                self._may_write(name, who)
                return self._commit(name, body)
            sized = "blobs=true" in urlsplit(self.path).query.lower()
            return self._info(name, revision or "main", who, sized)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(*found.groups(), who)
        raise Refusal(404)

    def _create(self, asked: dict[str, Any], who: str) -> Any:
        name = f"{asked.get('organization') or who}/{asked['name']}"
        if not who:
            raise Refusal(401)
        if name.split("/")[0] != who:
            raise Refusal(403)
        if name in self.hub.repos:
            raise Refusal(409, url=f"{self.hub.url}/{name}")
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.make(name, bool(private))
        return {"url": f"{self.hub.url}/{name}", "name": name}

    def _seen(self, name: str, who: str) -> Repo:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and name.split("/")[0] != who):
            raise Refusal(404 if who else 401, "RepoNotFound")
        return repo

    def _may_write(self, name: str, who: str) -> None:
        self._seen(name, who)
        if name.split("/")[0] != who:
            raise Refusal(403)

    def _version(self, repo: Repo, revision: str) -> str:
        sha = repo.branches.get(revision, revision)
        if sha not in repo.commits:
            raise Refusal(404, "RevisionNotFound")
        return sha

    def _info(self, name: str, revision: str, who: str, sized: bool) -> Any:
        repo = self._seen(name, who)
        sha = self._version(repo, revision)
        files = [
            {"rfilename": file} | ({"size": len(repo.commits[sha][file])} if sized else {})
            for file in sorted(repo.commits[sha])
        ]
        return {"id": name, "sha": sha, "private": repo.private, "siblings": files, "tags": [],
                "downloads": 0, "likes": 0}  # fmt: skip

    def _commit(self, name: str, body: bytes) -> Any:
        lines = [json.loads(line) for line in body.splitlines() if line]
        added = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        gone = [line["value"]["path"] for line in lines if line["key"] == "deletedFile"]
        sha = self.hub.repos[name].commit(added, gone)
        return {"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha,
                "pullRequestUrl": None}  # fmt: skip

    def _file(self, name: str, revision: str, file: str, who: str) -> Any:
        repo = self._seen(name, who)
        sha = self._version(repo, revision)
        content = repo.commits[sha].get(file)
        if content is None:
            raise Refusal(404, "EntryNotFound")
        tag = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": sha, "ETag": f'"{tag}"', "Content-Type": "application/octet-stream",
        }  # fmt: skip
        return content, headers


@contextmanager
def serving() -> Iterator[FakeHub]:
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
