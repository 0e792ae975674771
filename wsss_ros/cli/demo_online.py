"""``wsss demo-online``: rooms of an unseen kind are tagged while they are played; rounds run, scores are kept.

The real nodes run as separate processes: both segmenters, the online trainer and the evaluator. bench/online_plan.py
says what is played to them, bench/online_stream.py in which order. Untagged rooms are scored after each round.

A scene of your own (``--scene``, with tags.csv or tags.json) is cut into stretches, some for each round. It has no
dense truth: the results are pictures of the same frames by each version of the weights, and the gate's tag scores.
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.bench.online_plan import UNTAGGED, Plan, check_seeds
from wsss_ros.types import BadInput


def demo_online(
    out: Annotated[Path, typer.Option(help="Folder of rooms, bags, weights and scores.")] = Path("out/demo_online"),
    seeds: Annotated[str, typer.Option(help="Runs, each with tagged rooms and random numbers of its own.")] = "0",
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds of learning in a run.")] = Plan.rounds,
    scene: Annotated[Path | None, typer.Option(help="A tagged scene of your own instead of rooms.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Also write online.json, online.md and online.png here.")] = None,
) -> None:
    """Tag rooms of an unseen kind while they are played, learn from them, and score each version of the weights."""
    from wsss_ros.cli.experiment import numbers

    chosen = numbers(seeds) or [0]
    check_seeds(chosen)
    run(out, Plan(rounds=rounds), chosen, scene, docs)


def run(out: Path, plan: Plan, seeds: Sequence[int], scene: Path | None = None, docs: Path | None = None) -> None:
    """Run the demo with any plan: on rooms, once for each seed, or on a scene of your own."""
    from rich.console import Console

    from wsss_ros.bench import online_plan
    from wsss_ros.labels import scannet20

    console, labels, started = Console(soft_wrap=True), scannet20(), time.monotonic()
    console.print("rooms: missing ones are generated")
    folders = online_plan.rooms(out / "rooms", plan, seeds if scene is None else [], labels, _generate)
    if scene is None:
        result = _run_on_rooms(out, plan, seeds, folders, docs, console)
    else:
        result = _run_on_scene(out / "scene", plan, seeds[0], folders["base"], scene, console)
    console.print(f"{time.monotonic() - started:.0f} s in all; {result}")


def _generate(folder: Path, count: int, first: int, **options) -> list[Path]:
    from wsss_ros.cli.rooms import generate_with_progress

    return generate_with_progress(folder, count, first, os.cpu_count() or 1, **options)


def _run_on_rooms(out: Path, plan: Plan, seeds: Sequence[int], folders: dict, docs: Path | None, console) -> str:
    from wsss_ros.bench.online_plan import room_bags
    from wsss_ros.labels import scannet20
    from wsss_ros.online import report as online_report

    for seed in seeds:
        started, own = time.monotonic(), _emptied(out / f"seed{seed}")
        bags = room_bags(own, seed, plan, folders, scannet20(), console.print)
        _run(own, seed, plan, folders["base"], bags, console, has_truth=True)
        console.print(f"seed {seed} took {time.monotonic() - started:.0f} s")
    runs = [online_report.read(out / f"seed{seed}", seed) for seed in seeds]
    option = f" --rounds {plan.rounds}" if plan.rounds != Plan.rounds else ""
    command = f"wsss demo-online --seeds {','.join(map(str, seeds))}{option}"
    for folder in filter(None, [out, docs]):
        online_report.write(runs, folder, command)
    console.print(online_report.table(runs))
    return f"results: {out / 'online.md'}"


def _run_on_scene(out: Path, plan: Plan, seed: int, base: Sequence[Path], path: Path, console) -> str:
    from wsss_ros.bench.online_plan import scene_bags
    from wsss_ros.labels import scannet20
    from wsss_ros.online import scene_pictures
    from wsss_ros.scenes import open_scene

    labels = scannet20()
    _run(_emptied(out), seed, plan, base, scene_bags(out, path, plan, labels, console.print), console, has_truth=False)
    for picture in scene_pictures.write(open_scene(path, labels), out / "online", labels, out):
        console.print(f"written: {picture}")
    return "no dense truth here: look at the pictures"


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _run(
    out: Path, seed: int, plan: Plan, base: Sequence[Path], bags: dict[str, Path], console, has_truth: bool
) -> None:
    """One run with a memory of its own, from the shipped weights on."""
    from wsss_ros import node_set
    from wsss_ros.bench import online_parameters, online_stream
    from wsss_ros.node_processes import running

    os.environ["ROS_DOMAIN_ID"] = os.environ.get("ROS_DOMAIN_ID") or str(1 + os.getpid() % 100)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    parameters = online_parameters.write(out, seed, plan, base, has_truth)
    given = {"online": "true", "evaluate": "true", "accumulate": "false", "params_file": str(parameters)}
    with running() as children:
        for process in node_set.processes(node_set.arguments(given)):
            children.start(process)
        robot = _Robot(out, bags, children, has_truth)
        online_stream.stream(out, plan, list(bags), robot, console.print)


class _Robot:
    """The running nodes, and bags to play to them."""

    def __init__(self, out: Path, bags: dict[str, Path], children, has_truth: bool):
        self.out, self.bags, self.has_truth = out, bags, has_truth
        self.check = children.check

    def play(self, name: str) -> None:
        from wsss_ros.node_processes import running
        from wsss_ros.node_set import Process

        parameters: dict[str, bool | float | str] = {
            "source": str(self.bags[name].absolute()),
            "set_name": name if name in UNTAGGED else "tagged",
            "subscribers": 2,
            "wait_for_subscribers_s": 300.0,
        }
        replay = Process("replay", module="wsss_ros.nodes.replay", parameters=parameters, ends_the_set=True)
        with running() as children:
            children.start(replay)
            children.wait()
        if children.failed:
            raise BadInput(f"{self.bags[name]} could not be played to its end: {next(iter(children.failed.values()))}")

    def has_scores(self) -> bool:
        from wsss_ros.online import report as online_report

        try:
            return not self.has_truth or bool(online_report.read(self.out, 0))
        except (BadInput, OSError, ValueError):
            return False
