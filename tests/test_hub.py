"""Models to a hub and back: huggingface_hub itself, against a hub on this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fake_hub import FakeHub, serving
from galgen import checkpoint, hub
from galgen.errors import CheckpointError, ConfigError, OutputError, UserError
from galgen.export import Sharing, export
from galgen.exported import CARD, PAGE, WEIGHTS
from galgen_cli.main import app
from tiny import run

pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")

TOKEN = "hf_anna"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hub")
    model = checkpoint.load(run(place / "runs", train__images=16).run)
    return export(model, place / "model", Sharing("MIT", name="Dwarfs"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub, and somebody who is logged in to it."""
    from huggingface_hub import constants

    with serving() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        # As if it had been set when huggingface_hub was imported, which releases before 2 ask for.
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield found


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def call(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert TOKEN not in result.output
    return result.exit_code, result.output


def test_there_and_back(server: FakeHub, exported: Path, tmp_path: Path) -> None:
    sent = hub.push(exported, "anna/dwarfs")
    assert (sent.repo, sent.url) == ("anna/dwarfs", f"{server.url}/anna/dwarfs")
    there = server.files("anna/dwarfs")
    assert {k: v for k, v in there.items() if k != ".gitattributes"} == content(exported)
    assert server.repos["anna/dwarfs"].private
    folder, found = hub.pull("anna/dwarfs", tmp_path / "pulled")
    assert found.commit == sent.commit
    assert content(folder) == content(exported)
    a, b = (checkpoint.load(path) for path in (exported, folder))
    assert torch.equal(a.sample(5), b.sample(5))
    assert a.digest == b.digest
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"]


def test_only_what_was_exported_is_sent(server: FakeHub, exported: Path, tmp_path: Path) -> None:
    folder = export(checkpoint.load(exported), tmp_path / "model")
    (folder / "notes.txt").write_text("not for others")
    hub.push(folder, "anna/dwarfs", public=True)
    assert "notes.txt" not in server.files("anna/dwarfs")
    assert not server.repos["anna/dwarfs"].private
    (folder / PAGE).write_text("# mine\n")
    hub.push(folder, "anna/dwarfs", public=True)
    assert server.files("anna/dwarfs")[PAGE] == b"# mine\n"
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    before = len(server.asked)
    with pytest.raises(CheckpointError, match=r"is not the file that its card\.json lists"):
        hub.push(folder, "anna/dwarfs", public=True)
    assert len(server.asked) == before


def test_nothing_becomes_public_by_chance(server: FakeHub, exported: Path) -> None:
    server.make("anna/open")
    with pytest.raises(OutputError, match="anna/open is there already and everybody can see it"):
        hub.push(exported, "anna/open")
    assert set(server.files("anna/open")) == {".gitattributes"}
    hub.push(exported, "anna/open", public=True)
    assert WEIGHTS in server.files("anna/open")


def test_versions(server: FakeHub, exported: Path, tmp_path: Path) -> None:
    first = hub.push(exported, "anna/dwarfs").commit
    other = export(checkpoint.load(exported), tmp_path / "o", Sharing(name="Giants", half=True))
    second = hub.push(other, "anna/dwarfs").commit
    server.repos["anna/dwarfs"].branches["v1"] = first
    for revision, want in (("v1", exported), (first, exported), (None, other), ("main", other)):
        pulled, found = hub.pull("anna/dwarfs", tmp_path / "p", revision=revision, overwrite=True)
        assert content(pulled) == content(want)
        assert found.commit == (first if want == exported else second)
    with pytest.raises(CheckpointError, match="--revision v9: anna/dwarfs has no branch, tag or"):
        hub.pull("anna/dwarfs", tmp_path / "q", revision="v9")
    assert not (tmp_path / "q").exists()


def test_a_folder_that_is_taken_stays(server: FakeHub, exported: Path, workdir: Path) -> None:
    hub.push(exported, "anna/dwarfs")
    hub.pull("anna/dwarfs")
    assert Path("dwarfs", WEIGHTS).is_file()
    server.asked.clear()
    with pytest.raises(OutputError, match="dwarfs holds an exported model: --overwrite"):
        hub.pull("anna/dwarfs")
    Path("dwarfs", "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"dwarfs holds thesis.tex"):
        hub.pull("anna/dwarfs", overwrite=True)
    assert server.asked == []


@pytest.mark.parametrize(
    "stranger",
    ["model.ckpt", "pytorch_model.bin", "weights.pt", "run.py", "data/x.safetensors", "w.pkl",
     "model.safetensors.pkl", "..\\x.json", "Makefile"],
)  # fmt: skip
def test_what_could_run_is_refused_before_anything_is_downloaded(
    server: FakeHub, exported: Path, tmp_path: Path, stranger: str
) -> None:
    server.make("eve/model", files=content(exported) | {stranger: b"boo"})
    with pytest.raises(CheckpointError, match=r"eve/model holds .*nothing was downloaded"):
        hub.pull("eve/model", tmp_path / "model")
    assert not [path for _, path in server.asked if "/resolve/" in path]
    assert not list(tmp_path.iterdir())


def listing(has: dict[str, bytes], files: Any) -> dict[str, bytes]:
    """With other files on its card."""
    card = json.loads(has[CARD])
    card["files"] = files(card["files"])
    return has | {CARD: json.dumps(card).encode()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f | {WEIGHTS: f[WEIGHTS][:-1] + b"x"}, "model.safetensors is not the file"),
        (lambda f: f | {"overview.png": b""}, "overview.png is not the file"),
        (lambda f: {k: v for k, v in f.items() if k != WEIGHTS}, "lacks model.safetensors"),
        (lambda f: {k: v for k, v in f.items() if k != CARD}, "is no model of galgen"),
        (lambda f: f | {CARD: b"{"}, "eve/model is no exported model"),
        (lambda f: f | {CARD: b"[" * 200_000}, "eve/model is no exported model"),
        (lambda f: listing(f, lambda c: {WEIGHTS: {"bytes": float("inf"), "sha256": ""}}),
         "lacks size or SHA-256"),
        (lambda f: listing(f, lambda c: {}), "does not list its files"),
        (lambda f: listing(f, lambda c: c | {"../../x.json": {}}),
         "has no place in an exported folder"),
        (lambda f: listing(f, lambda c: c | {"a.py": {}}),
         "has no place in an exported folder"),
        (lambda f: listing(f, lambda c: {WEIGHTS: {"bytes": 3}}), "lacks size or SHA-256"),
    ],
)  # fmt: skip
def test_what_came_is_checked(
    server: FakeHub, exported: Path, tmp_path: Path, change: Any, words: str
) -> None:
    server.make("eve/model", files=change(content(exported)))
    with pytest.raises(CheckpointError, match=words):
        hub.pull("eve/model", tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [WEIGHTS, CARD, PAGE])
def test_nothing_is_downloaded_that_is_larger_than_it_may_be(
    server: FakeHub, exported: Path, tmp_path: Path, name: str
) -> None:
    files = content(exported)
    server.make("eve/model", files=files | {name: files[name] + b" " * 5_000_000})
    with pytest.raises(CheckpointError, match=rf"{name} .*, so it was not downloaded"):
        hub.pull("eve/model", tmp_path / "model")
    fetched = {path.rsplit("/", 1)[1] for _, path in server.asked if "/resolve/" in path}
    assert fetched == ({CARD} if name == WEIGHTS else set())
    assert not list(tmp_path.iterdir())


def test_a_page_that_was_edited_on_the_hub_is_no_harm(
    server: FakeHub, exported: Path, tmp_path: Path
) -> None:
    server.make("eve/model", files=content(exported) | {PAGE: b"# new", "LICENSE": b"MIT"})
    folder, _ = hub.pull("eve/model", tmp_path / "model")
    assert (folder / PAGE).read_text() == "# new"
    assert not (folder / "LICENSE").exists()
    server.make("eve/bare", files={k: v for k, v in content(exported).items() if k != PAGE})
    hub.pull("eve/bare", tmp_path / "bare")


def test_mistakes_are_sentences(
    server: FakeHub, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.make("bert/open", files=content(exported))
    server.make("bert/secret", private=True, files=content(exported))
    pull, push = "pull", f"push {exported}"
    out = f"--out {tmp_path / 'model'}"
    cases = [
        (f"{pull} anna/none {out}", "the hub has no anna/none, or does not show it to you"),
        (f"{pull} bert/secret {out}", "the hub has no bert/secret, or does not show it to you"),
        (f"{pull} dwarfs {out}", "REPO dwarfs: give OWNER/NAME"),
        (f"{pull} a/b/c {out}", "REPO a/b/c: give OWNER/NAME"),
        (f"{pull} a/b--c {out}", "REPO a/b--c is no name for a model"),
        (f"{push} bert/mine", "the hub does not let you do this with bert/mine: log in"),
        (f"{push} bert/open --public", "the hub does not let you do this with bert/open"),
        (f"push {tmp_path} anna/x", "holds no checkpoint"),
    ]
    for words, sentence in cases:
        code, text = call(*words.split())
        assert (code, sentence in " ".join(text.split())) == (2, True), text
        assert len(text.strip().splitlines()) == 1, text
    server.broken["/api/models/bert/open"] = 418
    code, text = call(*f"{pull} bert/open {out}".split())
    assert (code, "the hub answered with error 418" in text) == (2, True), text
    server.broken.clear()
    monkeypatch.delenv("HF_TOKEN")
    code, text = call(*f"{push} anna/x".split())
    assert (code, "log in with hf auth login, or set HF_TOKEN" in text) == (2, True), text
    assert not list(tmp_path.iterdir())


def test_no_network(
    server: FakeHub, tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(UserError, match="the hub cannot be reached"):
            hub.pull("anna/dwarfs", tmp_path / "model")
        with pytest.raises(OutputError, match="the hub cannot be reached"):
            hub.push(exported, "anna/dwarfs")
    assert not list(tmp_path.iterdir())


def test_without_the_extra(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for words in (("push", exported, "anna/x"), ("pull", "anna/x", "--out", tmp_path / "x")):
        code, text = call(*words)
        assert code == 2
        assert "huggingface_hub, which is not installed: install galgen[hub]" in text
    with pytest.raises(ConfigError, match="galgen"):
        hub.pull("anna/x", tmp_path / "x")


def test_the_commands(server: FakeHub, exported: Path, workdir: Path) -> None:
    code, text = call("push", exported, "anna/dwarfs", "--dry-run")
    assert code == 0
    assert "would send 4 files" in text
    assert "to anna/dwarfs, private: card.json, README.md, " in text
    assert server.asked == []
    code, text = call("push", exported, "anna/dwarfs")
    assert code == 0, text
    assert f"{server.url}/anna/dwarfs" in text
    code, text = call("pull", "anna/dwarfs", "--json")
    assert code == 0, text
    said = json.loads(text.splitlines()[-1])
    assert (said["folder"], said["licence"]) == ("dwarfs", "MIT")
    # A run, or something new to say, is exported on the way.
    code, text = call("push", exported, "anna/dwarfs", "--name", "Giants", "--half")
    assert code == 0, text
    code, text = call("pull", "anna/dwarfs", "--overwrite")
    assert code == 0, text
    assert text.startswith("Giants, licence: MIT\n")
    assert json.loads(Path("dwarfs", CARD).read_text())["precision"] == "float16"
    checkpoint.load("dwarfs")
