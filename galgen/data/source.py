"""What a set is called: one name for one source, and a sentence for what was left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from galgen.data.folder import BUILT_IN


def canonical(source: str | Path) -> str:
    """The one name of a source: a built-in name as it is, a folder by its absolute path.

    >>> canonical("hubble")
    'hubble'
    """
    text = str(source)
    return text if text in BUILT_IN else str(Path(text).resolve())


def left_out(bad: Sequence[tuple[str, str]], shown: int = 3) -> list[str]:
    """A sentence on bad files, or none."""
    if not bad:
        return []
    names = ", ".join(f"{name} ({reason})" for name, reason in bad[:shown])
    more = f" and {len(bad) - shown} more" if len(bad) > shown else ""
    return [f"left out {len(bad)} bad file{'' if len(bad) == 1 else 's'}: {names}{more}"]
