"""docs/configuration.md lists every key with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from galgen.config import RunConfig

ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| (?:`([^`]*)`)? ?\| (.+) \|$", re.MULTILINE)


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that a person may set, with its default; None where there is none."""
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if inner:
            yield from keys(inner[0], f"{prefix}{name}.")
        elif field.is_required():
            yield prefix + name, None
        else:
            yield prefix + name, field.get_default(call_default_factory=True)


def test_page_lists_every_key_with_its_default(repository: Path) -> None:
    page = (repository / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = ROW.findall(page)
    listed = {key: yaml.safe_load(default) if default else None for key, default, _ in rows}
    assert len(listed) == len(rows), "a key stands twice"
    wanted = {
        key: list(value) if isinstance(value, tuple) else value for key, value in keys(RunConfig)
    }
    assert listed == wanted
