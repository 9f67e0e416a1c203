"""``galgen push`` and ``galgen pull``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galgen_cli import options
from galgen_cli.console import Talk
from galgen_cli.export import Cite, Half, Licence, Name, Overwrite

if TYPE_CHECKING:
    from galgen.export import Sharing

Repo = Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME on the hub")]


def push(
    source: Annotated[
        str,
        typer.Argument(metavar="FOLDER | CKPT", help="exported folder, or what to export first"),
    ],
    repo: Repo,
    public: Annotated[bool, typer.Option("--public", help="let everybody see it")] = False,
    licence: Licence = None,
    cite: Cite = None,
    name: Name = None,
    half: Half = False,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
) -> None:
    """Send a model to a model hub, private unless --public (needs the extra hub)."""
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen import hub
        from galgen.export import Sharing, unsaid
        from galgen.exported import read_card

        hub.check_repo(repo)
        with _exported(source, Sharing(licence, cite, name, half)) as folder:
            names, card = hub.to_send(folder), read_card(folder)
            sizes = {name: (folder / name).stat().st_size for name in names}
            size = f"{len(names)} files, {sum(sizes.values()) / 1e6:.1f} MB"
            for line in unsaid(card):
                talk.say(line)
            if dry_run:
                kind = "public" if public else "private"
                talk.say(f"would send {size} to {repo}, {kind}: {', '.join(names)}")
                talk.result({"repo": repo, "public": public, "files": sizes})
                return
            _quiet(talk)
            sent = hub.push(folder, repo, public=public)
        talk.say(f"sent {size}: {sent.url}")
        talk.result({"repo": repo, "url": sent.url, "commit": sent.commit, "files": sizes})


def pull(
    repo: Repo,
    out: Annotated[
        Path | None, typer.Option("--out", help="folder to write [NAME]", show_default=False)
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", help="branch, tag or commit [newest]", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fetch a model from a model hub, and check every file (needs the extra hub)."""
    talk = Talk(as_json, debug)
    with talk.errors():
        from galgen import hub
        from galgen.exported import read_card

        hub.check_repo(repo)
        _quiet(talk)
        folder, found = hub.pull(repo, out, revision=revision, overwrite=overwrite)
        card = read_card(folder)
        cite = card.get("cite")
        talk.say(_plain(f"{card.get('name')}, licence: {card.get('licence')}"))
        for line in cite if isinstance(cite, list) else ():
            talk.say(_plain(f"cite: {line}"))
        talk.say(f"pulled: {folder} (commit {found.commit[:12]})")
        talk.result({"folder": folder, "repo": repo, "commit": found.commit,
                     "licence": card.get("licence"), "cite": cite})  # fmt: skip


@contextmanager
def _exported(source: str, sharing: Sharing) -> Iterator[Path]:
    """The folder as it is, where it was exported and nothing else is said of it; else a new one."""
    from galgen import checkpoint
    from galgen.export import Sharing, export
    from galgen.exported import FILES, read_card

    path = checkpoint.resolve(source)
    if path.is_dir() and sharing == Sharing() and FILES in read_card(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="galgen-") as place:
        yield export(checkpoint.load(source), Path(place) / "model", sharing)


def _plain(text: str) -> str:
    """What a stranger wrote, in one line and with nothing that moves a terminal's cursor."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _quiet(talk: Talk) -> None:
    from galgen import hub

    if talk.as_json or not talk.console.is_terminal:
        hub.quiet()
