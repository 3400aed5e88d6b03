"""A pytest plugin that appends one JSON line to the file G3D_TEST_LOG as each test starts and ends.

The log is complete up to the moment at which a run is killed, which a summary at the end would not be.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

LOG = Path(os.environ["G3D_TEST_LOG"])


def _write(**line: Any) -> None:
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write(test=report.nodeid, outcome="error", message=_reason(report), seconds=0.0)


def pytest_collection_finish(session: pytest.Session) -> None:
    _write(collected=len(session.items))


def pytest_runtest_logstart(nodeid: str) -> None:
    _write(test=nodeid, outcome="started")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or not report.passed:
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        line: dict[str, Any] = {"test": report.nodeid, "outcome": outcome, "seconds": report.duration}
        _write(**line, **({} if report.passed else {"message": _reason(report)}))


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return the first line of a failure's message, or the reason of a skip."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else report.longreprtext.strip().rpartition("\n")[2]).splitlines()
    return lines[0] if lines else "no message"
