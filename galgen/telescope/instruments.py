"""Presets of telescopes, read from instruments.yaml."""

from __future__ import annotations
