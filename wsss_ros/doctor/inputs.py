"""What a path is taken for, what is in it, and what to run next: ``wsss check``.

Paths are opened with the readers of the other commands. What these warn of becomes a note, what they refuse a fault.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from wsss_ros.bags.bag import SUFFIXES, Bag, is_bag
from wsss_ros.bags.bag_scene import BagScene, depth_scale_of
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.unpacking import PACKED
from wsss_ros.config import load as load_config
from wsss_ros.doctor import scene_facts
from wsss_ros.doctor.findings import Finding, Verdict
from wsss_ros.files import decode, parse_yaml
from wsss_ros.fusion.map_files import is_map_file, read_map
from wsss_ros.labels import LabelSpace, read_label_file
from wsss_ros.networks import checkpoint
from wsss_ros.rooms.library import FurnitureLibrary
from wsss_ros.scenes import fitting, is_photo_folder, layout_of, open_scene, pictures_without_poses, scene_names
from wsss_ros.scenes.advice import advice
from wsss_ros.scenes.cloud_files import is_cloud_file
from wsss_ros.scenes.images import image_size
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.scenes.reading import SCENE_FILES, Reading
from wsss_ros.scenes.tag_files import TABLES
from wsss_ros.scenes.tag_report import TagReport, read_report
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import KINDS, BadInput, Photos, Scene, few_of

_SHOWN = 5  # findings of a kind
_WARNINGS = 20
_LOOKED_AT = 20  # photographs whose true labels are read
_BAGS = (*SUFFIXES, *PACKED, ".bag")
_EXPECTED = "expected a bag, a cloud, pictures, tags, a label file, a configuration, a checkpoint or a .sh3f file"
_TAGS = tuple(Path(name).suffix for name in TABLES)


@dataclass
class Checked:
    """What a path is taken for (``kind``), the findings about it, and the command to run next.

    ``scenes``, ``photos`` and ``pictures`` are what can be drawn of it.
    """

    path: Path
    kind: str
    findings: list[Finding] = field(default_factory=list)
    command: str = ""
    scenes: list[Scene] = field(default_factory=list)
    photos: Photos | None = None
    pictures: list[Path] = field(default_factory=list)


def check(path: Path, labels: LabelSpace, reading: Reading | None = None, complete: bool = True) -> Checked:
    """Look at a path. Input that cannot be used is a finding with the verdict fault, not an error.

    Args:
        path: a scene, a folder of scenes or photographs, a bag, a cloud, tags, a label file, a configuration or a
            checkpoint.
        labels: the classes of tags and true labels.
        reading: what the files of a scene do not say.
        complete: whether classes that nobody listed are absent.
    """
    checked = Checked(path, "nothing that is known")
    with _warnings() as warned:
        try:
            _look(checked, labels, reading, complete)
        except (BadInput, OSError) as error:
            checked.findings.append(Finding("fault", "not usable", str(error)))
    reported = {finding.text for finding in checked.findings}
    texts = [text for text in dict.fromkeys(warned) if text not in reported]
    checked.findings += [Finding("note", "warning", text) for text in texts[:_WARNINGS]]
    if len(texts) > _WARNINGS:
        checked.findings.append(Finding("note", "warning", f"and {len(texts) - _WARNINGS} more"))
    return checked


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """The warnings that are logged meanwhile, which are then not printed."""
    found: list[str] = []

    class _Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    log = logging.getLogger("wsss_ros")
    before = log.handlers, log.propagate
    log.handlers, log.propagate = [_Kept(logging.WARNING)], False
    try:
        yield found
    finally:
        log.handlers, log.propagate = before


def _look(checked: Checked, labels: LabelSpace, reading: Reading | None, complete: bool) -> None:
    path = checked.path
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder")
    suffix = path.suffix.lower() if path.is_file() else ""
    if suffix in SCENE_FILES:
        _yaml(checked, labels, reading, complete)
    elif suffix == ".safetensors":
        _checkpoint(checked, path)
    elif is_map_file(path):
        _saved_map(checked)
    elif suffix in _TAGS and (path.stem.lower().startswith("tags") or not is_cloud_file(path)):
        _tags(checked, read_report(path, labels, complete))
    elif suffix == ".sh3f" or (path.is_dir() and any(path.glob("*__*/*.glb"))):
        _furniture(checked)
    elif pictures_without_poses(path) and not is_photo_folder(path):
        _pictures(checked)
    elif not is_cloud_file(path) and is_bag(path):
        _bag(checked, labels, reading, complete)
    elif path.is_dir() and is_photo_folder(path):
        _photos(checked, labels, complete)
    elif path.is_dir() and (networks := [file for kind in KINDS if (file := checkpoint.file_of(path, kind)).is_file()]):
        for file in networks:
            _checkpoint(checked, file)
        checked.kind = "the folder of a training run"
    elif path.is_dir() and not fitting(path) and (names := _scenes_inside(path)):
        _scene_folder(checked, names, labels, reading, complete)
    else:
        checked.kind = "a cloud" if path.is_file() else f"a scene in the layout '{layout_of(path, reading)}'"
        _scene(checked, open_scene(path, labels, complete, reading), labels)


def _yaml(checked: Checked, labels: LabelSpace, reading: Reading | None, complete: bool) -> None:
    """A label file, a configuration of a training, or a file that names a scene."""
    path = checked.path
    try:
        content: Any = parse_yaml(decode(path.read_bytes()))
    except ValueError as error:
        raise BadInput(f"{path}: not YAML ({error})") from error
    keys = set(content) if isinstance(content, dict) else set()
    if "classes" in keys:
        checked.kind, space = "a label file", read_label_file(path)
        checked.findings.append(Finding("ok", "classes", f"{len(space)}: {', '.join(space.names)}"))
        checked.command = f"wsss train CONFIGURATION, with 'labels: {path}' in it"
    elif "phases" in keys:
        checked.kind, settings = "a configuration of a training", load_config(TrainConfig, path)
        methods = ", ".join(phase.method for phase in settings.phases)
        checked.findings.append(Finding("ok", "phases", f"{len(settings.phases)}: {methods}"))
        checked.command = f"wsss train {quote(str(path))}"
    else:
        checked.kind = "a file that says how a scene is read"
        _scene(checked, open_scene(path, labels, complete, reading), labels)


def _scene(checked: Checked, scene: Scene, labels: LabelSpace) -> None:
    checked.scenes = [scene]
    checked.findings += scene_facts.findings(scene, labels)
    only = "" if len(scene) else " --only 3d"
    checked.command = f"wsss segment {quote(str(checked.path))}{only} --out {quote(f'out/{scene.name}')}"


def _scene_folder(
    checked: Checked, names: list[str], labels: LabelSpace, reading: Reading | None, complete: bool
) -> None:
    checked.kind = f"a folder of {len(names)} scenes"
    tagged, frames, faults = 0, 0, 0
    for name in names:
        try:
            scene = open_scene(checked.path / name, labels, complete, reading)
            tagged, frames = tagged + (scene.tags is not None), frames + len(scene)
            checked.scenes.append(scene)
        except (BadInput, OSError) as error:
            faults += 1
            if faults <= _SHOWN:
                checked.findings.append(Finding("note", name, f"left out: {error}"))
    if not checked.scenes:
        raise BadInput(f"{checked.path}: none of its {len(names)} scenes can be used")
    verdict: Verdict = "note" if faults else "ok"
    checked.findings.append(Finding(verdict, "scenes", f"{len(checked.scenes)} of {len(names)}, {frames} frames"))
    checked.findings.append(Finding("ok" if tagged else "note", "tags", f"{tagged} scenes have some"))
    first = checked.scenes[0]
    of_first = list(scene_facts.findings(first, labels))
    checked.findings += [Finding(found.verdict, f"{first.name}: {found.subject}", found.text) for found in of_first]
    has_truth = any(found.subject in ("image truth", "cloud truth") for found in of_first)
    task = "evaluate" if has_truth else "segment"
    out = "" if task == "evaluate" else " --out out/segmented"
    checked.command = f"wsss {task} {quote(str(checked.path))}{out}"


def _bag(checked: Checked, labels: LabelSpace, reading: Reading | None, complete: bool) -> None:
    try:
        bag = Bag(checked.path)
    except BadInput as error:
        if checked.path.is_dir() or checked.path.suffix.lower() in _BAGS:
            checked.kind = "a bag"
            raise
        if known := advice(checked.path):
            raise BadInput(f"{checked.path}: {known}; {_EXPECTED}") from error
        raise BadInput(f"{checked.path}: {_EXPECTED}; as a bag: {error}") from error
    checked.kind = "a bag" if not bag.broken else "a bag that is cut off"
    counts = Counter(raw.topic for raw in bag.raw())
    checked.findings.append(Finding("ok", "time", f"{bag.seconds:.1f} s, {bag.message_count} messages"))
    for topic in bag.topics:
        rate = counts[topic.name] / bag.seconds if bag.seconds > 0 else 0.0
        text = f"{topic.msgtype.replace('/msg/', '/')}, {counts[topic.name]} messages, {rate:.1f} Hz"
        checked.findings.append(Finding("ok", topic.name, text))
    if bag.broken:
        checked.findings.append(Finding("note", "end", bag.broken))
    frames = BagFrames(checked.path)
    checked.command = f"wsss segment {quote(str(checked.path))} --out {quote(f'out/{frames.name}')}"
    depth_scale_of(checked.path, reading)
    if frames.has_views:
        scene = BagScene(checked.path, labels, complete, reading=reading)
        checked.scenes = [scene]
        checked.findings += scene_facts.findings(scene, labels)
    else:
        checked.findings.append(Finding("note", "views", f"not complete: {frames.missing()}"))


def _photos(checked: Checked, labels: LabelSpace, complete: bool) -> None:
    checked.kind = "photographs with tags"
    _tags(checked, read_report(checked.path, labels, complete))
    photos = PhotoFolder(checked.path, labels, complete=complete)
    checked.photos = photos
    looked_at = range(min(len(photos), _LOOKED_AT))
    if with_truth := sum(photos.truth(index) is not None for index in looked_at):
        checked.findings.append(Finding("ok", "truth", f"{with_truth} of the first {len(looked_at)} have labels"))
    checked.findings += _sizes(photos.files)
    checked.command = f"wsss evaluate {quote(str(checked.path))}"


def _pictures(checked: Checked) -> None:
    checked.pictures = pictures_without_poses(checked.path)
    checked.kind = "pictures without tags"
    checked.findings += _sizes(checked.pictures)
    out = quote(f"out/{checked.path.resolve().stem}")
    checked.command = f"wsss segment {quote(str(checked.path))} --out {out}"


def _furniture(checked: Checked) -> None:
    library = FurnitureLibrary.open(checked.path)
    checked.kind = "a library of furniture for simulated rooms"
    listed = scene_facts.counted(model.kind for model in library.models.values())
    checked.findings.append(Finding("ok", "models", f"{len(library.models)}: {listed}"))
    checked.command = f"wsss rooms out/furnished --furniture {quote(str(checked.path))}"


def _sizes(files: list[Path]) -> Iterator[Finding]:
    """The sizes of pictures, and those that cannot be read."""
    sizes, unread = [], []
    for file in files:
        try:
            sizes.append(image_size(file))
        except BadInput as error:
            unread.append(str(error))
    if unread:
        verdict: Verdict = "note" if sizes else "fault"
        yield Finding(verdict, "not read", f"{len(unread)} of {len(files)} pictures; the first: {unread[0]}")
    if not sizes:
        return
    small, large = min(sizes, key=lambda size: size[0] * size[1]), max(sizes, key=lambda size: size[0] * size[1])
    between = f"of {small[0]}x{small[1]}" + (f" to {large[0]}x{large[1]}" if large != small else "")
    yield Finding("ok", "pictures", f"{len(sizes)} {between}")


def _tags(checked: Checked, report: TagReport) -> None:
    if checked.path.is_file():
        checked.kind = "tags"
        checked.command = f"wsss check {quote(str(checked.path.parent))}"
    listed = ", ".join(f"{name} {counts[0]}" for name, counts in report.counts.items() if counts[0])
    scene = f"; the scene: {', '.join(report.scene.written)}" if report.scene else ""
    if not report.usable and not report.faults:
        checked.findings.append(Finding("fault", "tags", f"{report.source}: {report.why_not}"))
    checked.findings.append(Finding("ok", "tags", f"{len(report.lists)} images: {listed or 'no class'}{scene}"))
    for subject, names in (("no image for", report.unmatched), ("no tags for", report.without or [])):
        if names:
            checked.findings.append(Finding("note", subject, f"{len(names)}: {few_of(names)}"))
    checked.findings += [Finding("fault", "row", fault) for fault in report.faults[:_SHOWN]]
    checked.findings += [Finding("note", "tags", note) for note in report.notes]


def _checkpoint(checked: Checked, path: Path) -> None:
    found = checkpoint.load(path)
    config, count = found.config, sum(parameter.numel() for parameter in found.network.parameters())
    checked.kind = f"a checkpoint of the {config.kind} network"
    text = f"{config.name}, {count / 1e6:.1f} M parameters, version {found.version}"
    checked.findings.append(Finding("ok", f"{config.kind} network", text))
    checked.findings.append(Finding("ok", "classes", f"{len(found.labels)} of '{found.labels.name}'"))
    if config.inputs:
        checked.findings.append(Finding("ok", "inputs", f"xyz, {', '.join(config.inputs)}"))
    checked.command = f"wsss segment SCENE --{config.kind}-weights {quote(str(path))} --out out/segmented"


def _saved_map(checked: Checked) -> None:
    about, state = read_map(checked.path)
    checked.kind = "a semantic map that semantic_mapper saved"
    text = f"{len(state['key']):,} of {about.voxel_size_m:g} m in the frame '{about.frame_id}'"
    checked.findings.append(Finding("ok", "voxels", text))
    checked.findings.append(Finding("ok", "classes", f"{len(about.classes)}: {', '.join(about.classes)}"))
    checked.command = f"wsss view {quote(str(checked.path))}"


def _scenes_inside(folder: Path) -> list[str]:
    """The folders in a folder that are scenes by their files."""
    return [name for name in scene_names(folder) if fitting(folder / name)]
