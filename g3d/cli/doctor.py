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

    findings = examine()
    if as_json:
        output.emit({"schema": 1, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            colour = {"ok": "green", "note": "yellow", "broken": "red"}[finding.state]
            typer.secho(f"{finding.state:<7}", fg=colour, nl=False)
            typer.echo(f"{finding.name:<20} {finding.text}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(4)
