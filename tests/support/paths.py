"""Folders that tests read: this repository, the parity cases in it, and the samples that lie beside it."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
GOLDEN = TESTS / "parity" / "golden"
SHARED = ROOT.parent / "shared"
"""Real samples and further parity cases; not part of the repository, so that tests which use it skip where it is
absent."""
REAL = SHARED / "data" / "real"
