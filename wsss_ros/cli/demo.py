"""``wsss demo``: a scene becomes a bag, the bag is replayed to the nodes, and what they publish is scored and drawn."""

import dataclasses
import os
import random
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from wsss_ros import files
from wsss_ros.cli.options import DepthScale, Device, Intrinsics, Layout, reading_of
from wsss_ros.labels import RECOMMENDED
from wsss_ros.types import BadInput

QUIET_S = 6.0  # without a message after the replay: nothing more is published
SILENT_S = 600.0  # the nodes wait for each other at the start, and for the recorder at the end: that is no problem


def demo(
    scene: Annotated[Path | None, typer.Option(help="Your own scene; without it an unseen room is generated.")] = None,
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("out/demo"),
    seed: Annotated[int, typer.Option(help="Seed of the generated room; training uses 1000 to 9999.")] = 424242,
    frames: Annotated[int, typer.Option(min=0, help="At most so many frames; 0 takes all.")] = 0,
    hz: Annotated[float, typer.Option(min=0.1, help="Images a second to replay.")] = 4.0,
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    device: Device = "auto",
    image_weights: Annotated[str, typer.Option(help="Checkpoint of the image network.")] = "",
    cloud_weights: Annotated[str, typer.Option(help="Checkpoint of the cloud network.")] = "",
    min_confidence: Annotated[
        float, typer.Option(min=-1, max=1, help="Labels with less become unlabelled; -1: as the weights recommend.")
    ] = RECOMMENDED,
) -> None:
    """Play one scene to the nodes, which run as separate processes; record, score and draw what they publish."""
    from rich.console import Console

    from wsss_ros.evaluation import played_pictures
    from wsss_ros.evaluation.played import read_played, read_published, score_played
    from wsss_ros.labels import scannet20
    from wsss_ros.scenes import open_scene

    console, labels, started = Console(), scannet20(), time.monotonic()
    files.writable_folder(out)
    reading = reading_of(layout, depth_scale, intrinsics)
    if scene is None and reading is not None:
        raise BadInput(
            "--layout, --depth-scale and --intrinsics are options of your own scene; give it: --scene FOLDER"
        )
    if scene is None:
        scene = _unseen_room(out, seed)
        console.print(f"an unseen room, seed {seed}: {scene}")
    opened = open_scene(scene, labels, reading=reading)
    bag, rate = _write_bag(opened, out / "scene.mcap", frames, hz, console)
    chosen = {"device": device, "image_weights": image_weights, "cloud_weights": cloud_weights}
    recording = _run_nodes(bag, out, rate, {**chosen, "min_confidence": str(min_confidence)})
    console.print("scoring what was published")
    played, published = read_played(bag), read_published(recording)
    report = {"scene": opened.name, "seconds": round(time.monotonic() - started, 1), "replay_rate": rate}
    report |= score_played(played, published, labels)
    report["weights"] = {"image": _origin(image_weights, "image"), "cloud": _origin(cloud_weights, "cloud")}
    files.write_json(out / "report.json", report)
    pictures = played_pictures.write(played, published, labels, out)
    _print(console, report, pictures, out)
    if not report["images_answered"] or not report["cloud_points"]:
        console.print("[red]the nodes did not answer; their output above and report.json say why")
        raise typer.Exit(1)


def _origin(weights: str, kind: str) -> dict:
    """What a checkpoint says of its training: version, command, and val mIoU after each phase that was scored."""
    from wsss_ros.inference import shipped_weights
    from wsss_ros.networks import checkpoint

    loaded = checkpoint.load(weights or shipped_weights(kind), kind)
    known = loaded.training
    phases = {name: val["miou"] for name, val in (known.get("val_by_phase") or {}).items() if val}
    last = (known.get("val") or {}).get("miou")
    return {"version": loaded.version, "command": known.get("command"), "val_miou": last, "val_miou_before": phases}


def _unseen_room(out: Path, seed: int) -> Path:
    from wsss_ros.rooms.generator import generate_room

    shutil.rmtree(out / "scene", ignore_errors=True)
    return generate_room(out / "scene", seed)


def _write_bag(opened, path: Path, frames: int, hz: float, console) -> tuple[Path, float]:
    """The bag of a scene, and the replay rate that gives ``hz`` images a second."""
    from rich.progress import Progress

    from wsss_ros.bags.bag import Bag
    from wsss_ros.bags.recording import BagConfig
    from wsss_ros.bags.writing import write_bag

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"writing {path}", total=None)
        config = BagConfig(frames=frames, tags=False)  # no node of the demo learns
        shown = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        write_bag(opened, path, config, overwrite=True, progress=shown)
    written = Bag(path)
    views = min(frames or len(opened), len(opened))
    native_hz = (views - 1) / max(written.seconds, 1e-3)
    return path, round(min(100.0, max(0.01, hz / native_hz)), 3) if views > 1 else 1.0


def _run_nodes(bag: Path, out: Path, rate: float, chosen: dict[str, str]) -> Path:
    """Start the set that `wsss up` starts, and a recorder in addition to it. Returns the recording.

    ``chosen`` are arguments of the set.
    """
    from wsss_ros import node_set
    from wsss_ros.bags.writing import clear_partial
    from wsss_ros.node_processes import running
    from wsss_ros.node_set import Process

    recording = (out / "published").absolute()
    shutil.rmtree(recording, ignore_errors=True)
    partial = clear_partial(recording)
    # A domain of our own, so that topics of other robots on this network do not mix with these.
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randint(1, 100)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    given = {**chosen, "bag": str(bag), "rate": str(rate), "accumulate": "true"}
    parameters: dict[str, bool | float | str] = {"output": str(recording), "end_when_quiet_s": QUIET_S}
    parameters["sensor_timeout_s"] = SILENT_S
    recorder = Process("recorder", module="wsss_ros.nodes.recorder", parameters=parameters, ends_the_set=True)
    with running() as children:
        children.start(recorder)
        while not partial.exists():  # until it records
            children.check()
            time.sleep(0.05)
        for process in _patient(node_set.processes(node_set.arguments(given))):
            children.start(process)
        children.wait()  # for the end of the replay
        if not children.failed:
            children.wait()  # for the end of the recording
    if children.failed:
        raise BadInput(next(iter(children.failed.values())))
    return recording


def _patient(processes: list) -> list:
    """The same processes, the replay last. It waits longer for its subscribers: each image shall be answered."""

    def with_parameters(process, **more: float):
        return dataclasses.replace(process, parameters={**process.parameters, **more, "sensor_timeout_s": SILENT_S})

    replay = next(process for process in processes if process.ends_the_set)
    others = [with_parameters(process) for process in processes if process is not replay]
    return [*others, with_parameters(replay, wait_for_subscribers_s=300.0)]


def _print(console, report: dict, pictures: list[Path], out: Path) -> None:
    from rich.table import Table

    from wsss_ros.cli.tables import iou_table

    scores = {"2D IoU %": report["score_2d"], "3D IoU %": report["score_3d"]}
    scores = {title: score for title, score in scores.items() if score}
    if scores:
        names = next(iter(scores.values()))["iou"]
        known = [name for name in names if any(score["iou"][name] is not None for score in scores.values())]
        console.print(iou_table(scores, known))
    else:
        console.print("this scene has no ground truth: nothing to score, look at the pictures")
    speed = Table("node", "median ms", "p95 ms", "answers", title="latency, message in to message out")
    for node, figures in report["latency_ms"].items():
        if figures:
            speed.add_row(node, str(figures["median"]), str(figures["p95"]), str(figures["count"]))
    console.print(speed)
    console.print(
        f"{report['images_answered']} of {report['images_played']} images answered, {report['image_rate_hz']} Hz; "
        f"cloud of {report['cloud_points']} points; {report['seconds']} s in all"
    )
    _print_origins(console, report["weights"])
    for node, causes in report["drops"].items():
        for cause, count in causes.items():
            console.print(f"  {node} dropped {count}: {cause}")
    console.print("What the weights that ship have learned from, and what they see: docs/weights.md")
    console.print("results: " + "  ".join(map(str, [*pictures, out / "report.json"])))


def _print_origins(console, weights: dict[str, dict]) -> None:
    """The mIoU of the weights on their val rooms, after the phases of their training that were scored."""
    from rich.table import Table

    from wsss_ros.evaluation.tables import percent

    if all(origin["val_miou"] is None for origin in weights.values()):
        return
    title = "these weights on the val rooms of their training"
    table = Table("network", "mIoU %", "after the phases before", title=title)
    for kind, origin in weights.items():
        before = [f"{name}: {percent(miou)}" for name, miou in origin["val_miou_before"].items()]
        table.add_row(kind, percent(origin["val_miou"]), ", ".join(before))
    console.print(table)
