"""`g3d doctor`."""

from __future__ import annotations

import typer

from g3d.cli import output
from g3d.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Show versions, devices and kernels, and check that they work. Exit code 4 if something is broken.

    Example: g3d doctor --json > report.json
    """
    from dataclasses import asdict

    from g3d.doctor import examine

    broken, findings = False, []
    for finding in examine():
        broken |= finding.state == "broken"
        if as_json:
            findings.append(asdict(finding))
            continue
        colour = {"ok": "green", "note": "yellow", "broken": "red"}[finding.state]
        typer.secho(f"{finding.state:<7}", fg=colour, nl=False)
        output.show(f"{finding.name:<32} {finding.text}")
    if as_json:
        output.emit({"schema": 1, "findings": findings})
    if broken:
        raise typer.Exit(4)
