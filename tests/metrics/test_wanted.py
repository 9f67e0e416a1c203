"""The words of --metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from galgen.errors import ConfigError, DataError
from galgen.metrics import wanted
from galgen.metrics.wanted import DEFAULT, check, parse_metrics


def test_the_default_needs_no_download_and_no_minutes() -> None:
    wanted = parse_metrics()
    assert wanted.extractors == ("galaxy", "physics")
    assert {*wanted.extractors, *wanted.groups} == set(DEFAULT)
    assert "inception" not in wanted
    assert "statmorph" not in wanted


def test_names_replace_it_and_signs_change_it() -> None:
    assert parse_metrics("physics, copies").extractors == ("physics",)
    assert parse_metrics(("physics", "copies")).groups == {"copies"}
    more = parse_metrics("+inception,-physics,+nets/mine.pt")
    assert more.extractors == ("galaxy", "inception", "nets/mine.pt")
    assert more.groups == parse_metrics().groups


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("galaxi", "did you mean galaxy"),
        ("fid", "choose from galaxy"),
        ("galaxy,+copies", "either every name"),
        (",".join(f"-{name}" for name in DEFAULT), "nothing to take"),
    ],
)
def test_mistakes_get_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_metrics(text)


def test_what_is_missing_is_said_before_galaxies_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(parse_metrics())
    file = tmp_path / "mine.pt"
    with pytest.raises(DataError, match=r"mine.pt: there is no such file"):
        check(parse_metrics(f"{file}"))
    file.touch()
    check(parse_metrics(f"{file}"))
    with pytest.raises(DataError, match=r"none\.pth"):
        check(parse_metrics("inception"), tmp_path / "none.pth")
    monkeypatch.setattr(wanted, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install"):
        check(parse_metrics("statmorph"))
