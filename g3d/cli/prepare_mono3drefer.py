"""`g3d prepare mono3drefer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from g3d.cli import output
from g3d.cli.options import DataRequired, Json, Out
from g3d.cli.recipes import DryRun, Redo, Workers, leave_if_broken, show_joint_plan

if TYPE_CHECKING:
    from g3d.prepare.mono3drefer import Mono3DReferReport


def mono3drefer(
    data: DataRequired,
    out: Out = None,
    check: Annotated[bool, typer.Option("--check", help="Only look, write nothing.")] = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image when checking, not only its header and end.")
    ] = False,
    dry_run: DryRun = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Prepare the good expressions although something is broken.")
    ] = False,
    workers: Workers = 1,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Check Mono3DRefer's images, calibration, sentences, labels, splits and groups, and index the expressions.

    DATA holds images/, calib/, Mono3DRefer.json, the three split lists and test_instanceID_split.json, as published.
    The result goes into DATA/g3d, or into --out; either folder can then be given as --data.

    Example: g3d prepare mono3drefer --data data/Mono3DRefer --workers 8
    """
    from g3d.prepare.mono3drefer import plan_mono3drefer, prepare_mono3drefer

    if dry_run:
        plan = plan_mono3drefer(data, out)
        work = f"{plan.images:,} images to check, {plan.expressions:,} expressions to index"
        size = f"about {plan.bytes / 1e6:.2f} MB to write, {plan.free / 1e9:.1f} GB free"
        show_joint_plan(f"{work}, {size}", plan, as_json)
        return
    report = prepare_mono3drefer(data, out, check, decode, keep_going, workers, output.progress(), redo)
    if as_json:
        output.emit(_json(report))
    else:
        _show(report)
    leave_if_broken([error for _, error in report.broken], "images, expressions and groups", keep_going and not check)


def _show(report: Mono3DReferReport) -> None:
    """Print the counts of the report beside the published counts."""
    from g3d.data.mono3drefer import names as published

    output.show(f"{'':<8}{'images':>8}{'objects':>9}{'published':>11}{'expressions':>13}{'published':>11}")
    rows = [
        (
            split,
            report.images[split],
            report.objects[split],
            published.PUBLISHED_OBJECTS[split],
            report.expressions[split],
            published.PUBLISHED_EXPRESSIONS[split],
        )
        for split in report.images
    ]
    for name, *counts in (*rows, ("all", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True)))):
        output.show(
            f"{name:<8}"
            + "".join(f"{count:>{width},}" for count, width in zip(counts, (8, 9, 11, 13, 11), strict=True))
        )
    output.show(f"published: {published.PUBLISHED_IMAGES:,} images")
    output.show(
        "groups   "
        + ", ".join(f"{name} {count} ({published.PUBLISHED_GROUPS[name]})" for name, count in report.groups.items())
        + " objects (published)"
    )
    output.show("classes  " + ", ".join(f"{name} {count:,}" for name, count in report.classes.items()))
    output.show(f"words    {report.words[0]:.1f} in a sentence, at most {report.words[1]}")
    for note in report.notes:
        output.show(f"note: {note}")
    if report.folder:
        output.show(
            f"prepared {report.folder}"
            + (" (up to date)" if report.up_to_date else f" ({report.bytes_written / 1e3:,.0f} kB)")
        )


def _json(report: Mono3DReferReport) -> dict[str, object]:
    from g3d.data.mono3drefer import names as published

    return {
        "schema": 1,
        "folder": str(report.folder) if report.folder else None,
        "images": report.images,
        "objects": report.objects,
        "expressions": report.expressions,
        "groups": report.groups,
        "classes": report.classes,
        "words": {"mean": round(report.words[0], 2), "most": report.words[1]},
        "notes": list(report.notes),
        "published": {
            "images": published.PUBLISHED_IMAGES,
            "objects": published.PUBLISHED_OBJECTS,
            "expressions": published.PUBLISHED_EXPRESSIONS,
            "groups": published.PUBLISHED_GROUPS,
        },
        "up_to_date": report.up_to_date,
        "broken": [{"item": name, "reason": str(error)} for name, error in report.broken],
    }
