"""``wsss demo-online``: rooms of a kind never trained on are tagged while they stream by; rounds run, scores are kept.

The real nodes run as separate processes: both segmenters, the online trainer and the evaluator. Three streams are
played to them. *Tagged*: some rooms of the new kind for each round, with tags on every second image and on the room,
as a person would give them. *New*: other rooms of the same kind, which nobody ever tags. *Old*: val rooms of the kinds
that the shipped weights learned. While a round runs the untagged streams play on; after it they are scored.

A scene of your own (``--scene``, with tags.csv or tags.json) is cut into stretches, some for each round. It has no
dense truth: what comes out are pictures of the same frames by every version of the weights, and the gate's tag scores.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml

from wsss_ros.types import BadInput

SETS = ("new", "old")
STYLE = "other"  # of data/room_style.py: kinds of rooms and palettes that no training sees
TAGGED_EVERY = 2  # images of a tagged room
SEEDS = {"tagged": 21_000, "new": 22_000, "old": 9_000, "base": 1_000}  # of rooms; a run's tagged rooms are 100 on
MOST_SEEDS = 9  # the next one's tagged rooms would be the scored ones, as those of more than 20 rounds
GAP_S, SILENCE_S = 2.2, 1.2  # between two tagged rooms, and what ends one
PATIENCE_S = 420.0  # for a round to end


@dataclass(frozen=True)
class Plan:
    """What is played, for how long."""

    rounds: int = 3
    rooms: int = 5  # tagged in each round; every fourth is held out for the gate
    tagged_frames: int = 24
    scored_rooms: int = 10  # of each untagged set
    scored_frames: int = 8
    base: int = 30  # rooms of the old kinds that rounds may mix in
    hz: float = 5.0
    steps: int = 60


def demo_online(
    out: Annotated[Path, typer.Option(help="Where rooms, bags, weights and scores go.")] = Path("out/demo_online"),
    seeds: Annotated[str, typer.Option(help="Runs, each with other tagged rooms and other chance.")] = "0",
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds of learning in a run.")] = Plan.rounds,
    scene: Annotated[Path | None, typer.Option(help="A tagged scene of your own in place of rooms.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Write online.json, online.md and online.png here, too.")] = None,
) -> None:
    """Tag rooms of an unseen kind while they stream by, learn from them, and score every version of the weights."""
    from wsss_ros.cli.bench_ablation import numbers

    chosen = numbers(seeds) or [0]
    if not all(0 <= seed <= MOST_SEEDS for seed in chosen):
        raise BadInput(f"--seeds {seeds}: wanted 0 to {MOST_SEEDS}; each has tagged rooms of its own")
    run(out, Plan(rounds=rounds), chosen, scene, docs)


def run(out: Path, plan: Plan, seeds: Sequence[int], scene: Path | None = None, docs: Path | None = None) -> None:
    """The command, with any plan."""
    from rich.console import Console

    from wsss_ros.online import report as online_report

    console, began = Console(), time.monotonic()
    folders = _rooms(out, plan, seeds if scene is None else [], console)
    if scene is not None:
        _run(out / "scene", seeds[0], plan, folders, scene, console)
        for picture in _pictures(out / "scene", scene):
            console.print(f"written: {picture}")
        console.print(f"{time.monotonic() - began:.0f} s in all; no dense truth here: look at the pictures")
        return
    for seed in seeds:
        at = time.monotonic()
        _run(out / f"seed{seed}", seed, plan, folders, None, console)
        console.print(f"seed {seed} took {time.monotonic() - at:.0f} s")
    runs = [online_report.read(out / f"seed{seed}", seed) for seed in seeds]
    told = f" --rounds {plan.rounds}" if plan.rounds != Plan.rounds else ""
    command = f"wsss demo-online --seeds {','.join(map(str, seeds))}{told}"
    for folder in filter(None, [out, docs]):
        online_report.write(runs, folder, command)
    console.print(online_report.table(runs))
    console.print(f"{time.monotonic() - began:.0f} s in all; results: {out / 'online.md'}")


def _rooms(out: Path, plan: Plan, seeds: Sequence[int], console) -> dict[str, list[Path]]:
    """All rooms, generated where they are missing; the tagged ones get a tags.json as a person would write it."""
    from wsss_ros.cli.rooms import generate_with_progress

    def made(name: str, count: int, first: int, frames: int, style: str) -> list[Path]:
        folder, workers = out / "rooms" / name, os.cpu_count() or 1
        return generate_with_progress(folder, count, first, workers, frames=frames, style=style)

    console.print("rooms: some are generated, where they are not there yet")
    folders = {"base": made("base", plan.base, SEEDS["base"], plan.tagged_frames, "default")}
    if seeds:
        folders["new"] = made("new", plan.scored_rooms, SEEDS["new"], plan.scored_frames, STYLE)
        folders["old"] = made("old", plan.scored_rooms, SEEDS["old"], plan.scored_frames, "default")
    for seed in seeds:
        first = SEEDS["tagged"] + 100 * seed
        folders[f"tagged{seed}"] = made("tagged", plan.rounds * plan.rooms, first, plan.tagged_frames, STYLE)
        for folder in folders[f"tagged{seed}"]:
            _tag(folder)
    return folders


def _tag(folder: Path) -> None:
    """Tags of the room and of every second image, from what is there to be seen."""
    from wsss_ros.labels import scannet20
    from wsss_ros.scenes import open_scene

    (folder / "tags.json").unlink(missing_ok=True)
    scene = open_scene(folder, scannet20())
    frames = {str(index): list(scene.image_tags(index) or ()) for index in range(0, len(scene), TAGGED_EVERY)}
    told = {"scene": list(scene.tags or ()), "frames": {name: tags for name, tags in frames.items() if tags}}
    (folder / "tags.json").write_text(json.dumps(told, indent=1))


def _run(out: Path, seed: int, plan: Plan, folders: dict[str, list[Path]], scene: Path | None, console) -> None:
    """One run with its own memory of scenes and weights, from the shipped weights on."""
    from wsss_ros.node_processes import running

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    bags = _bags(out, seed, plan, folders, console) if scene is None else _bags_of(scene, out, plan, console)
    os.environ["ROS_DOMAIN_ID"] = os.environ.get("ROS_DOMAIN_ID") or str(1 + os.getpid() % 100)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with running() as children:
        for process in _nodes(_parameters(out, seed, plan, folders)):
            children.start(process)
        _stream(out, plan, bags, children.check, console)


def _stream(out: Path, plan: Plan, bags: dict[str, Path], all_well: Callable[[], None], console) -> None:
    """The untagged rooms once, then for each round the tagged ones, and the untagged ones during and after it.

    Raises BadInput where a node or a replay does not go on.
    """
    rounds = out / "online" / "rounds.jsonl"
    untagged = [name for name in SETS if name in bags]
    _play(bags, untagged)
    for number in range(1, plan.rounds + 1):
        began = time.monotonic()
        _play(bags, [f"tagged{number}"])
        while not _decisions(rounds, number) and time.monotonic() - began < PATIENCE_S:
            _play(bags, untagged[:1])  # the robot works on
            all_well()
        if told := _decisions(rounds, number):
            what = "promoted" if told[-1]["promoted"] else "rejected"
            console.print(f"round {number}: {what}, {told[-1]['why']}", soft_wrap=True)
        else:
            console.print(f"round {number}: no decision within {PATIENCE_S:.0f} s")
        time.sleep(3.0)  # the segmenters load what was promoted
        _play(bags, untagged)
        all_well()


def _decisions(rounds: Path, number: int) -> list[dict]:
    """The decisions so far, once there are as many as rounds were begun; an empty list before."""
    lines = rounds.read_text().splitlines() if rounds.is_file() else []
    return [json.loads(line) for line in lines] if len(lines) >= number else []


def _play(bags: dict[str, Path], names: Sequence[str]) -> None:
    from wsss_ros.node_processes import running
    from wsss_ros.node_set import Process

    for name in names:
        told = {"source": str(bags[name].absolute()), "set_name": name if name in SETS else "tagged"}
        told |= {"subscribers": 2, "wait_for_subscribers_s": 120.0}
        replay = Process("replay", module="wsss_ros.nodes.replay", parameters=told, ends_the_set=True)
        with running() as children:
            children.start(replay)
            children.wait()
        if children.failed:
            raise BadInput(f"{bags[name]} could not be played to its end; what the replay said is above")


def _bags(out: Path, seed: int, plan: Plan, folders: dict[str, list[Path]], console) -> dict[str, Path]:
    from wsss_ros.bags.recording import BagConfig
    from wsss_ros.bags.writing import write_bag
    from wsss_ros.labels import scannet20
    from wsss_ros.scenes import open_scene

    labels, config = scannet20(), BagConfig(rate_hz=plan.hz, gap_s=GAP_S, cloud_every=1000)
    tagged = folders[f"tagged{seed}"]
    parts = {f"tagged{n + 1}": tagged[n * plan.rooms : (n + 1) * plan.rooms] for n in range(plan.rounds)}
    bags = {}
    for name, rooms in {**parts, **{name: folders[name] for name in SETS}}.items():
        console.print(f"writing {name}.mcap: {len(rooms)} rooms")
        scenes = [open_scene(room, labels) for room in rooms]
        own = config.model_copy(update={"gap_s": 0.5}) if name in SETS else config
        bags[name] = write_bag(scenes, out / f"{name}.mcap", own, overwrite=True)
    return bags


def _bags_of(path: Path, out: Path, plan: Plan, console) -> dict[str, Path]:
    """A real scene: stretches with its tags for each round, and the whole without tags, played while rounds run."""
    from wsss_ros.bags.recording import BagConfig
    from wsss_ros.bags.scene_sequence import Stretch, Untagged
    from wsss_ros.bags.writing import write_bag
    from wsss_ros.labels import scannet20
    from wsss_ros.scenes import open_scene
    from wsss_ros.scenes.derived import up_of

    scene = open_scene(path, scannet20())
    up = ",".join(f"{value:.6f}" for value in up_of(scene))  # found once, for a stretch may see no floor
    config = BagConfig(rate_hz=plan.hz, gap_s=GAP_S, cloud_every=1000, up=up)
    length, stretches = len(scene) // (plan.rounds * plan.rooms), {}
    for number in range(plan.rounds):
        starts = [(number + plan.rounds * part) * length for part in range(plan.rooms)]  # each round sees all of it
        stretches[f"tagged{number + 1}"] = [Stretch(scene, start, length) for start in starts]
    stretches["new"] = [Untagged(scene)]
    console.print(f"{path}: {len(scene)} frames in stretches of {length}")
    return {name: write_bag(scenes, out / f"{name}.mcap", config, overwrite=True) for name, scenes in stretches.items()}


def _pictures(out: Path, path: Path) -> list[Path]:
    """Frames and the cloud of the scene, by the weights before the first round and by what each round proposed."""
    import numpy as np

    from wsss_ros.cli.demo import shrunk
    from wsss_ros.evaluation import pictures
    from wsss_ros.inference import CloudSegmenter, ImageSegmenter
    from wsss_ros.labels import scannet20
    from wsss_ros.scenes import open_scene
    from wsss_ros.scenes.derived import cloud_of, upright_rotation
    from wsss_ros.scenes.frame_choice import spread
    from wsss_ros.types import Cloud

    labels, scene = scannet20(), open_scene(path, scannet20())
    titles, weights = zip(*_proposed(out / "online"), strict=True)
    images = [ImageSegmenter(image) for image, _ in weights]
    clouds = [CloudSegmenter(cloud) for _, cloud in weights]
    rows, seen = [], set()
    for index in spread(len(scene), 8):
        rgb = scene.frame(index).rgb
        found = [segmenter(scene.frame(index))[0] for segmenter in images]
        seen |= {name for each in found for name in labels.present(each)}
        painted = [pictures.blend(rgb, labels.colorize(each), 0.6) for each in found]
        rows.append([shrunk(picture, 320) for picture in (rgb, *painted)])
    frames = pictures.labelled_sheet(["RGB", *titles], rows, labels, seen)
    cloud = cloud_of(scene)
    cloud = Cloud((cloud.xyz @ upright_rotation(scene).T).astype(np.float32), cloud.rgb)
    found = [segmenter(cloud)[0] for segmenter in clouds]
    row = [pictures.render_cloud(cloud.xyz, rgb) for rgb in (cloud.rgb, *map(labels.colorize, found))]
    shown = {name for each in found for name in labels.present(each)}
    whole = pictures.labelled_sheet(["RGB", *titles], [row], labels, shown)
    return [pictures.save(frames, out / "frames.png"), pictures.save(whole, out / "cloud.png")]


def _proposed(online: Path) -> list[tuple[str, tuple[Path, Path]]]:
    """Titles and checkpoints: what was begun with, and what each round came to, promoted or refused."""
    from wsss_ros.online.records import candidate
    from wsss_ros.online.versions import FIRST, at

    first = at(online / "weights", FIRST)
    told = [("before", (first.image, first.cloud))]
    for decision in _decisions(online / "rounds.jsonl", 1):
        number = decision["round"]
        if decision["promoted"]:
            made = at(online / "weights", decision["version"])
            told.append((f"after round {number}", (made.image, made.cloud)))
        elif decision["before"]:
            told.append((f"refused in round {number}", candidate(online / "rounds" / f"{number:04d}")))
    return told


def _parameters(out: Path, seed: int, plan: Plan, folders: dict[str, list[Path]]) -> Path:
    """A parameter file for all nodes, and a recipe with rooms of the old kinds, for the trainer."""
    from wsss_ros.config import share

    recipe = yaml.safe_load(share("config/online.yaml").read_text())
    base = str(folders["base"][0].parent.absolute())
    train, held_out = out / "base.txt", out / "base_held_out.txt"
    names = [folder.name for folder in folders["base"]]
    train.write_text("\n".join(names[:-4]) + "\n")
    held_out.write_text("\n".join(names[-4:]) + "\n")
    recipe["base"] = {"folder": base, "scenes": str(train.absolute())}
    recipe["base_held_out"] = {"folder": base, "scenes": str(held_out.absolute())}
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    trainer = {
        "folder": str((out / "online").absolute()),
        "recipe": str((out / "recipe.yaml").absolute()),
        "round_scenes": plan.rooms - 1,
        "steps": plan.steps,
        "keep_refused": "new" not in folders,  # for the pictures
        "keep_versions": max(2, plan.rounds + 1),  # the report and the pictures look at all of them
        "base": 6.0,
        "end_silence_s": SILENCE_S,
        "seed": seed,
        "round_device": "cpu",
        **({} if "new" in folders else {"min_shift_m": 0.1, "min_turn_deg": 6.0}),  # a hand-held walk moves little
    }
    told = {
        "online_trainer": trainer,
        "evaluator": {"output": str((out / "evaluation").absolute())},
        "image_segmenter": {"device": "cpu", "threads": 1},
        "cloud_segmenter": {"device": "cpu", "threads": 1},
    }
    path = out / "parameters.yaml"
    path.write_text(yaml.safe_dump({f"/**/{name}": {"ros__parameters": values} for name, values in told.items()}))
    return path


def _nodes(params: Path) -> list:
    from wsss_ros import node_set

    given = {"online": "true", "evaluate": "true", "accumulate": "false", "params_file": str(params)}
    return node_set.processes(node_set.arguments(given))
