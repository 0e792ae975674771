"""``wsss check``: what a path is taken for, what is in it, and what to run next."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from wsss_ros.cli.options import DepthScale, Intrinsics, Labels, Layout, classes_named, reading_of


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Scenes, folders of scenes or photographs, bags, clouds, maps, tags, label files, checkpoints.",
        ),
    ],
    labels: Labels = "",
    complete: Annotated[
        bool, typer.Option("--complete/--incomplete", help="A class that is not listed is absent, or unknown.")
    ] = True,
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    picture: Annotated[Path | None, typer.Option(help="Also write a contact sheet as this PNG.")] = None,
) -> None:
    """Say what each path is taken for, what is in it, what is wrong with it, and what to run next.

    The status is 1 if one of them cannot be used; the last line then says why.
    """
    from rich.console import Console
    from rich.markup import escape

    from wsss_ros.doctor import findings
    from wsss_ros.doctor.contact_sheet import contact_sheet
    from wsss_ros.doctor.inputs import check as look
    from wsss_ros.evaluation.pictures import save, stacked

    console, space = Console(soft_wrap=True, highlight=False, emoji=False), classes_named(labels)
    reading = reading_of(layout, depth_scale, intrinsics)
    options = {"layout": layout, "depth-scale": f"{depth_scale:g}" if depth_scale else "", "intrinsics": intrinsics}
    given = "".join(f" --{name} {quote(value)}" for name, value in options.items() if value)
    pages, faults = [], []
    for path in paths:
        checked = look(path, space, reading, complete)
        console.print(f"[bold]{escape(str(path))}[/bold]: {escape(checked.kind)}")
        for finding in checked.findings:
            console.print(f"  {finding.line()}", markup=False)
        if findings.status(checked.findings):
            faults += [(path, finding.text) for finding in checked.findings if finding.verdict == "fault"][:1]
        elif checked.command:
            classes = f" --labels {quote(labels)}" if labels and checked.command.startswith("wsss evaluate") else ""
            console.print(f"  next: {checked.command}{given if checked.scenes else ''}{classes}", markup=False)
        if picture is not None and not findings.status(checked.findings) and (page := contact_sheet(checked)):
            pages.append(page)
    if picture is not None and pages:
        console.print(f"written: {save(stacked(pages), picture)}", markup=False)
    for path, text in faults:
        console.print(f"not usable: {path}: {text.removeprefix(f'{path}: ')}", markup=False)
    if faults:
        raise typer.Exit(1)
