"""Options, reports and exit codes that the `g3d prepare` commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g3d.cli import output

if TYPE_CHECKING:
    from g3d.errors import G3DError
    from g3d.prepare.runner import Item, Plan, Prepared, Recipe

Scenes = Annotated[list[str], typer.Option("--scene", help="Only this scene; may be repeated.")]
Splits = Annotated[
    list[str], typer.Option("--split", help="Only these: train, val, test, or a file of names; may be repeated.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Worker processes.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N parts; by default what SLURM or torchrun gave.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be done, and whether the disk has room for it.")
]
Check = Annotated[bool, typer.Option("--check", help="Only look whether everything is prepared: exit code 1 if not.")]
Redo = Annotated[bool, typer.Option("--redo", help="Prepare again what is done already.")]


@dataclass(frozen=True)
class How:
    """Values of the options that the commands share."""

    workers: int = 1
    shard: str | None = None
    dry_run: bool = False
    check: bool = False
    redo: bool = False
    as_json: bool = False


def run_recipe(recipe: Recipe, items: Sequence[Item], out: Path, how: How) -> Prepared | None:
    """Prepare this process's part of the items; with --dry-run or --check, show the plan and return None.

    The caller calls `finish` after it has used the result.
    """
    from g3d.prepare.runner import prepare

    mine = my_part(items, how)
    if how.dry_run or how.check:
        show_plans([(recipe, mine, out)], how)
        return None
    return prepare(recipe, mine, out, how.workers, how.redo, output.progress())


def my_part(items: Sequence[Item], how: How) -> list[Item]:
    """Return this process's part of the items, sorted by name."""
    from g3d.prepare.shards import parse_shard, shard_of_environment

    shard = parse_shard(how.shard) if how.shard else shard_of_environment()
    mine = shard.of(sorted(items, key=lambda item: item.name))
    if shard.count > 1:
        output.say(f"part {shard} ({shard.source}): {len(mine)} of {len(items)}")
    return mine


def show_plans(recipes: Sequence[tuple[Recipe, Sequence[Item], Path]], how: How) -> None:
    """Show the plans of recipes for their items and folders.

    The JSON describes the first recipe; its entry "then" holds the plans of the others.

    Args:
        recipes: recipes with their items and output folders.
        how: the common options.

    Raises:
        typer.Exit: with --check, exit code 1 if an item is to be made or has missing parts because of damaged input.
        EnvironmentProblem: the disk does not have enough free space (not with --check).
    """
    from g3d.prepare.manifest import require_space
    from g3d.prepare.runner import plan

    plans = [(recipe, plan(recipe, items, out, how.redo), out) for recipe, items, out in recipes]
    size = sum(found.bytes for _, found, _ in plans)
    free = 0 if how.check else require_space(size, plans[0][2])
    if how.as_json:
        first, *others = [_plan_json(*each) for each in plans]
        output.emit({"schema": 1, **first, **({"then": others} if others else {})})
    else:
        for _, found, out in plans:
            output.show(
                f"{len(found.done)} done, {len(found.todo)} to do, of these {len(found.outdated)} out of date, in {out}"
            )
            for name, reason in list(found.outdated.items())[:20]:
                output.show(f"  {name}: {reason}")
            for name, reasons in list(found.incomplete.items())[:20]:
                output.show(f"  {name}: {len(reasons)} damaged parts are missing: {reasons[0]}")
        if free:
            output.show(f"about {size / 1e9:.2f} GB to write, {free / 1e9:.1f} GB free")
    if how.check and any(found.todo or found.incomplete for _, found, _ in plans):
        raise typer.Exit(1)


def _plan_json(recipe: Recipe, plan: Plan, out: Path) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "folder": str(out),
        "to_do": [item.name for item in plan.todo],
        "outdated": dict(plan.outdated),
        "done": [item.name for item in plan.done],
        "incomplete": {name: list(reasons) for name, reasons in plan.incomplete.items()},
        "bytes": plan.bytes,
    }


def show_joint_plan(work: str, plan: Any, as_json: bool) -> None:
    """Show the plan of a recipe that makes one set of files.

    Args:
        work: description, for the terminal, of the work if the files are not up to date.
        plan: a dataclass with the field `reason`: None if the files are up to date, "" if there are none, otherwise
            what has changed.
        as_json: write the plan as JSON.
    """
    values = asdict(plan)
    reason = values.pop("reason")
    if as_json:
        output.emit({"schema": 1, **values, "up_to_date": reason is None, "reason": reason})
    elif reason is None:
        output.show("up to date: nothing to do")
    else:
        output.show(work + (f" (prepared before, but {reason})" if reason else ""))


def finish(prepared: Prepared, out: Path, how: How, notes: Sequence[str] = ()) -> None:
    """Report the result and list the broken items with their reasons.

    Raises:
        typer.Exit: there are broken items. The exit code is 1 if other items are good; otherwise it is the highest
            code of the errors: 2 for input that cannot be used, 3 for missing files, 4 for the environment.
    """
    broken = prepared.broken
    if how.as_json:
        output.emit(
            {
                "schema": 1,
                "folder": str(out),
                "made": list(prepared.made),
                "done": list(prepared.done),
                "notes": list(notes),
                "facts": {name: dict(facts) for name, facts in prepared.facts.items()},
                "broken": [{"item": name, "reason": str(error)} for name, error in broken],
            }
        )
    else:
        output.show(f"prepared {len(prepared.made)}, {len(prepared.done)} done before, {len(broken)} broken, in {out}")
        for note in notes:
            output.show(note)
    _list_broken([error for _, error in broken])
    if broken:
        alone = not prepared.made and not prepared.done
        raise typer.Exit(max(error.exit_code for _, error in broken) if alone else 1)


def leave_if_broken(errors: Sequence[G3DError], what: str, prepared_the_rest: bool) -> None:
    """List the errors and exit, if there are any.

    Args:
        errors: errors of the items that cannot be used.
        what: plural name of the items, for the message.
        prepared_the_rest: whether the other items were prepared.

    Raises:
        typer.Exit: there are errors. The exit code is 1 if the rest was prepared; otherwise it is the highest code of
            the errors: 2 for input that cannot be used, 3 for missing files.
    """
    if not errors:
        return
    _list_broken(errors)
    output.say(f"{len(errors)} of the {what} cannot be used" + ("" if prepared_the_rest else "; nothing was written"))
    raise typer.Exit(1 if prepared_the_rest else max(error.exit_code for error in errors))


def _list_broken(errors: Sequence[G3DError], shown: int = 20) -> None:
    for error in errors[:shown]:
        output.error(error)
    if len(errors) > shown:
        output.say(f"... and {len(errors) - shown} more (--json lists all)")
