"""`g3d prepare scanrefer` and `g3d prepare referit3d`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from g3d.cli import output
from g3d.cli.options import DataRequired, Json, Out
from g3d.cli.recipes import Redo, leave_if_broken

if TYPE_CHECKING:
    from g3d.prepare.scene_sentences import SentenceReport

PUBLISHED = {"scanrefer": {"train": (36_665, 562), "val": (9_508, 141)}}
"""Sentences and scenes of the published splits."""
Scenes = Annotated[
    Path | None,
    typer.Option("--scenes", help="Folder of prepared or published scenes; searched by default.", show_default=False),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="scannetv2-labels.combined.tsv; searched by default.", show_default=False),
]
Vectors = Annotated[
    Path | None,
    typer.Option("--vectors", help="Word vectors: glove.p, or a GloVe text file; only words in use are kept."),
]
KeywordsOption = Annotated[
    str, typer.Option("--keywords", help="auto: published ones, else by rules; rules or spacy: compute all.")
]
CheckOnly = Annotated[bool, typer.Option("--check", help="Only look, write nothing.")]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Index the good sentences although something is broken.")]


def scanrefer(
    data: DataRequired,
    out: Out = None,
    scenes: Scenes = None,
    labels: Labels = None,
    vectors: Vectors = None,
    keywords: KeywordsOption = "auto",
    check: CheckOnly = False,
    keep_going: KeepGoing = False,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Check ScanRefer's sentences, mark their keywords, cut word vectors to their words, and index all.

    DATA holds ScanRefer's files, or WS-3DVG's masked ones. The result goes into DATA/g3d, or into --out.

    Example: g3d prepare scanrefer --data data/scanrefer --scenes data/scannet --vectors data/glove.p
    """
    options = _Options(scenes, labels, vectors, keywords)
    _run("scanrefer", data, out, options, check, keep_going, redo, as_json)


def referit3d(
    data: DataRequired,
    out: Out = None,
    scenes: Scenes = None,
    labels: Labels = None,
    vectors: Vectors = None,
    keywords: KeywordsOption = "auto",
    keep_bad_contexts: Annotated[
        bool, typer.Option("--keep-bad-contexts", help="Work without the lists of bad contexts, which then count.")
    ] = False,
    word_lists: Annotated[
        Path | None,
        typer.Option(
            "--word-lists", help="JSON word lists that decide which sentences name the class.", show_default=False
        ),
    ] = None,
    check: CheckOnly = False,
    keep_going: KeepGoing = False,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Check the sentences of Nr3D and Sr3D, mark their keywords, cut word vectors to their words, and index all.

    DATA holds nr3d.csv, sr3d.csv or both with referit3d's lists, or WS-3DVG's JSON files. The result goes into
    DATA/g3d, or into --out.

    Example: g3d prepare referit3d --data data/nr3d --scenes data/scannet --vectors data/glove.p
    """
    options = _Options(scenes, labels, vectors, keywords, not keep_bad_contexts, word_lists)
    _run("referit3d", data, out, options, check, keep_going, redo, as_json)


@dataclass(frozen=True)
class _Options:
    """Options of a command, of which SentenceOptions are made."""

    scenes: Path | None
    labels: Path | None
    vectors: Path | None
    keywords: str
    bad_contexts: bool = True
    word_lists: Path | None = None


def _run(
    kind: Literal["scanrefer", "referit3d"],
    data: Path,
    out: Path | None,
    given: _Options,
    check: bool,
    keep_going: bool,
    redo: bool,
    as_json: bool,
) -> None:
    from g3d.errors import InputError, did_you_mean
    from g3d.prepare.scene_sentences import SentenceOptions, prepare_sentences

    known = ("auto", "rules", "spacy")
    if given.keywords not in known:
        near = did_you_mean(given.keywords, known)
        raise InputError(f"--keywords {given.keywords}: expected {', '.join(known)}{near}")
    options = SentenceOptions(**vars(given))
    report = prepare_sentences(kind, data, out, options, check, keep_going, redo, output.progress())
    if as_json:
        output.emit(_json(kind, report))
    else:
        _show(kind, report)
    leave_if_broken([error for _, error in report.broken], "sentences", keep_going and not check)


def _show(kind: str, report: SentenceReport) -> None:
    published = PUBLISHED.get(kind, {})
    heads = f"{'':<12}{'sentences':>10}{'published':>11}{'objects':>9}{'scenes':>8}{'published':>11}"
    output.show(heads)
    for name, counts in report.splits.items():
        known = [f"{value:,}" for value in published.get(name, ())] or ["-", "-"]
        output.show(
            f"{name:<12}{counts['sentences']:>10,}{known[0]:>11}{counts['objects']:>9,}{counts['scenes']:>8,}{known[1]:>11}"
        )
    output.show("files    " + ", ".join(f"{name} {path}" for name, path in report.files.items()))
    output.show(f"scenes   {report.scenes or 'none'}")
    k = report.keywords
    compared = (
        f"; the rule against published ones: precision {k['precision'] or 0:.2f}, recall {k['recall'] or 0:.2f}"
        if k["precision"] is not None or k["recall"] is not None
        else ""
    )
    output.show(f"keywords {k['published']:,} sentences as published, {k['computed']:,} computed{compared}")
    if report.words:
        w = report.words
        output.show(f"words    {w['different']:,} in use, {w['with_vector']:,} with a vector, of {w['file']}")
    else:
        output.show("words    no vectors: a system that reads them needs --vectors FILE")
    for note in report.notes:
        output.show(f"note: {note}")
    if report.folder:
        done = " (up to date)" if report.up_to_date else f" ({report.bytes_written / 1e6:.2f} MB)"
        output.show(f"prepared {report.folder}{done}")


def _json(kind: str, report: SentenceReport) -> dict[str, object]:
    return {
        "schema": 1,
        "folder": str(report.folder) if report.folder else None,
        "splits": report.splits,
        "published": {name: {"sentences": s, "scenes": n} for name, (s, n) in PUBLISHED.get(kind, {}).items()},
        "files": report.files,
        "scenes": report.scenes,
        "keywords": report.keywords,
        "words": report.words,
        "notes": list(report.notes),
        "up_to_date": report.up_to_date,
        "broken": [{"item": name, "reason": str(error)} for name, error in report.broken],
    }
