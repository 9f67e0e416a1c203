"""metrics.csv grows row by row, gains columns, and is cut back to where a run goes on."""

from __future__ import annotations

import csv
from pathlib import Path

from galgen.training.csvlog import CsvLog


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_values_at_one_clock_share_a_row(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 0.5}, 16)
    log.log_metrics({"loss": 0.25, "epoch": 3}, 32)
    log.log_metrics({"frechet": 7.0}, 32)
    log.log_metrics({"loss": float("nan")}, 48)
    log.log_metrics({"epoch": 4}, 64)
    assert rows(tmp_path / "metrics.csv") == [
        {"images": "16", "loss": "0.5", "frechet": ""},
        {"images": "32", "loss": "0.25", "frechet": "7"},
        {"images": "48", "loss": "", "frechet": ""},
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_every_row_is_on_disk_when_it_is_logged(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "metrics.csv")
    for images in range(8, 80, 8):
        log.log_metrics({"loss": images / 3}, images)
        assert [int(r["images"]) for r in rows(log.path)] == list(range(8, images + 1, 8))


def test_going_on_drops_rows_after_the_checkpoint(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "metrics.csv")
    for images in (16, 32, 48):
        log.log_metrics({"loss": images, "seconds": images / 10}, images)
    again = CsvLog(tmp_path / "metrics.csv", resumed_at=32)
    assert again.last("seconds") == 3.2
    again.log_metrics({"loss": 99, "score": 1}, 48)
    assert rows(tmp_path / "metrics.csv") == [
        {"images": "16", "loss": "16", "seconds": "1.6", "score": ""},
        {"images": "32", "loss": "32", "seconds": "3.2", "score": ""},
        {"images": "48", "loss": "99", "seconds": "", "score": "1"},
    ]


def test_a_run_that_starts_anew_keeps_nothing(tmp_path: Path) -> None:
    CsvLog(tmp_path / "metrics.csv").log_metrics({"loss": 1}, 8)
    fresh = CsvLog(tmp_path / "metrics.csv")
    assert fresh.last("loss") == 0.0
    fresh.log_metrics({"other": 2}, 8)
    assert rows(tmp_path / "metrics.csv") == [{"images": "8", "other": "2"}]


def test_only_the_last_row_stays_in_memory(tmp_path: Path) -> None:
    import sys

    def held(log: CsvLog) -> int:
        return sum(sys.getsizeof(value) for value in vars(log).values())

    log = CsvLog(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 1.0}, 8)
    before = held(log)
    for images in range(16, 8000, 8):
        log.log_metrics({"loss": 1.5}, images)
        if images % 80 == 0:
            log.log_metrics({"loss": 2.5}, images)
    assert held(log) <= before + 100
    found = log.history("loss")
    assert [images for images, _ in found] == list(range(8, 8000, 8))
    assert all(value == (1.0 if i == 8 else 1.5 if i % 80 else 2.5) for i, value in found)


def test_a_file_that_a_person_changed_is_gone_on_with(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "metrics.csv")
    for images in (8, 16, 24):
        log.log_metrics({"loss": images}, images)
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    log.log_metrics({"loss": 32}, 32)
    log.log_metrics({"score": 1}, 32)
    assert [row["images"] for row in rows(log.path)] == ["8", "24", "32"]
    assert rows(log.path)[-1] == {"images": "32", "loss": "32", "score": "1"}
