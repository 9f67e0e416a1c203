"""The snippets of the documentation run, and the commands that it names exist."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted((REPOSITORY / "docs").glob("*.md")) + sorted(REPOSITORY.glob("README.md"))
FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})\s*(?P<info>.*)$")
MODULES = sorted(
    path
    for path in (REPOSITORY / "galgen").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    skipped: bool


def blocks(text: str) -> Iterator[Block]:
    """Fenced blocks from top to bottom, with the 0-based number of their first line."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        match = FENCE.match(lines[number])
        if match is None:
            number += 1
            continue
        end = number + 1
        while end < len(lines) and lines[end].rstrip() != match["fence"]:
            end += 1
        language = re.sub(r"^\{code-block\}\s*", "", match["info"]).strip()
        body = lines[number + 1 : end]
        start = number + 1
        while language and body and re.match(r":[\w-]+:", body[0]):
            body, start = body[1:], start + 1
        above = lines[number - 1] if number else ""
        skipped = re.match(r"(%|<!--) skip: \S", above) is not None
        yield Block(language, "\n".join(body) + "\n", start, skipped)
        number = end + 1


def run(block: Block, page: str, namespace: dict[str, Any]) -> None:
    if ">>> " in block.text:
        test = doctest.DocTestParser().get_doctest(block.text, namespace, page, page, block.line)
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        runner.run(test, out=report.append, clear_globs=False)
        namespace.update(test.globs)
        assert not report, "".join(report)
    else:
        # leading lines put the page's own line numbers into a traceback
        exec(compile("\n" * block.line + block.text, page, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_snippets_run(page: Path, workdir: Path) -> None:
    wanted = [b for b in blocks(page.read_text(encoding="utf-8")) if b.language == "python"]
    if not wanted:
        pytest.skip("no Python on this page")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in wanted:
        if not block.skipped:
            run(block, str(page), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist(page: Path) -> None:
    commands = [
        line.strip().removeprefix("$ ").split(" #")[0]
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language in {"console", "bash", "sh"}
        for line in block.text.replace("\\\n", " ").splitlines()
        if re.match(r"\s*(\$ )?galgen\b", line)
    ]
    if not commands:
        pytest.skip("no commands on this page")
    import typer.main

    from galgen_cli.main import app

    group = typer.main.get_command(app)
    for command in commands:
        words = shlex.split(command)[1:]
        known = {name for p in group.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
        if words and not words[0].startswith("-"):
            verb = group.commands.get(words[0])  # type: ignore[attr-defined]
            assert verb is not None, f"{command}: there is no verb {words[0]}"
            if hasattr(verb, "commands"):
                verb = verb.commands.get(words[1])
                assert verb is not None, f"{command}: {words[0]} has no command {words[1]}"
            known = {n for p in verb.params for n in (*p.opts, *p.secondary_opts)} | {"--help"}
        unknown = {w.split("=")[0] for w in words if re.match(r"--?[a-zA-Z]", w)} - known
        assert not unknown, f"{command}: there is no option {', '.join(sorted(unknown))}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_docstring_examples(path: Path, workdir: Path) -> None:
    name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    found = sum(len(test.examples) for test in doctest.DocTestFinder().find(module))
    assert found == path.read_text(encoding="utf-8").count(">>> "), "an example is out of sight"
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_blocks_are_found_run_and_skipped() -> None:
    page = (
        "text\n```python\nx = 1\n```\n"
        "% skip: needs a folder\n```python\nx = 2\n```\n"
        "```{code-block} python\n:caption: y\n>>> x + 1\n3\n```\n"
    )
    first, second, third = blocks(page)
    assert (first.line, first.skipped, second.skipped) == (2, False, True)
    namespace: dict[str, Any] = {}
    run(first, "page", namespace)
    assert namespace["x"] == 1
    with pytest.raises(AssertionError, match=r"Expected:\n\s+3"):
        run(third, "page", namespace)


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the docs extra is not installed")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", str(tmp_path)],
        cwd=REPOSITORY,
        check=True,
    )
    assert (tmp_path / "index.html").stat().st_size > 1000
