"""Where Inception's weights come from: the user's file, the cache, or the network, once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from galgen.data import measured
from galgen.errors import DataError
from galgen.metrics.inception import weights

CONTENT = bytes(range(256)) * 9000
#: Nothing listens there.
CLOSED = "http://127.0.0.1:9/weights.pth"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder for weights, not made yet; the published file is `CONTENT`."""
    monkeypatch.setattr(measured, "cache_folder", lambda: tmp_path / "galgen" / "measured")
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(weights, "BYTES", len(CONTENT))
    monkeypatch.setattr(weights, "URL", CLOSED)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "galgen" / "weights"


class Handler(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        kind = self.path.removeprefix("/")
        if kind == "missing":
            self.send_error(404)
            return
        body = {"altered": CONTENT[:-1] + b"x", "longer": CONTENT * 3, "cut": CONTENT[:1000]}
        sent = body.get(kind, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT if kind == "cut" else sent)))
        self.end_headers()
        try:
            self.wfile.write(sent)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = 0
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()
    thread.join()


def test_downloaded_once_and_kept(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "URL", f"{server}/whole")
    for _ in range(2):
        assert weights.find_weights() == cache / weights.FILE
    assert (cache / weights.FILE).read_bytes() == CONTENT
    assert Handler.asked == 1
    assert [p.name for p in cache.iterdir()] == [weights.FILE]


def test_a_mirror_on_disk_serves_too(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror.pth").write_bytes(CONTENT)
    monkeypatch.setattr(weights, "URL", (tmp_path / "mirror.pth").as_uri())
    assert weights.find_weights().read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["altered", "longer", "cut"])
def test_another_checksum_leaves_no_file(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(weights, "URL", f"{server}/{kind}")
    monkeypatch.setattr(weights, "_CHUNK", 4096)
    with pytest.raises(DataError, match=r"checksum|cannot be downloaded"):
        weights.find_weights()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("kind", ["offline", "missing"])
def test_without_a_network_it_says_which_file_to_put_where(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = CLOSED if kind == "offline" else f"{server}/missing"
    monkeypatch.setattr(weights, "URL", url)
    with pytest.raises(DataError, match="cannot be downloaded") as caught:
        weights.find_weights()
    said = str(caught.value)
    assert all(part in said for part in (weights.FILE, url, str(cache), "evaluate.inception"))
    assert "\n" not in said
    assert list(cache.iterdir()) == []


def test_the_cache_needs_no_network(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / weights.FILE).write_bytes(CONTENT)
    assert weights.find_weights() == cache / weights.FILE


def test_a_damaged_file_in_the_cache_is_not_used(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / weights.FILE).write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=r"damaged.*delete it"):
        weights.find_weights()


def test_the_users_file_comes_first(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    with pytest.raises(DataError, match=r"no file .*mine\.pth .*evaluate\.inception"):
        weights.find_weights(mine)
    mine.write_bytes(b"anything")
    assert weights.find_weights(mine) == mine
    assert not cache.exists()


def test_without_a_place_to_keep_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror.pth").write_bytes(CONTENT)
    monkeypatch.setattr(weights, "URL", (tmp_path / "mirror.pth").as_uri())
    cache.parent.write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot be kept .*evaluate\.inception"):
        weights.find_weights()
    monkeypatch.setattr(measured, "cache_folder", lambda: None)
    with pytest.raises(DataError, match="no home folder"):
        weights.find_weights()


def test_the_published_name_holds_the_checksum() -> None:
    assert weights.SHA256.startswith("6726825d")
    assert weights.FILE in weights.URL
    assert f"-{weights.SHA256[:8]}." in weights.FILE
