"""A scan with pseudo-labels in place of its own labels, for training."""

import json
from pathlib import Path

from wsss_ros.labels import TagList
from wsss_ros.scenes.scannet import ScanNetScene

# Files that a scan with pseudo-labels does not link: those it has itself, and those that describe the true labels.
_NOT_LINKED = ("*label*", "*instance*", "*.aggregation.json", "*.segs.json", "tags.*", ".*")


def complete_pseudo_scan(scene: ScanNetScene, folder: Path, frame_tags: dict[str, list[str]]) -> None:
    """Turn a folder with pseudo-labels of ``scene`` into a scan in ScanNet's layout.

    Links the scan's other files, notes in the scene's .txt that ids are nyu40 ids, and writes ``tags.json`` with the
    scene's tags and ``frame_tags`` (written tags by frame name), with the classes that are unknown.
    """
    info = scene.folder / f"{scene.name}.txt"
    for place in (source for source in scene.sources if source.is_dir()):
        for entry in sorted(place.resolve().iterdir()):
            left_out = entry.name == info.name or any(entry.match(pattern) for pattern in _NOT_LINKED)
            if not left_out and not (folder / entry.name).exists():
                (folder / entry.name).symlink_to(entry)
    lines = info.read_text().splitlines() if info.is_file() else []
    lines = [line for line in lines if line.partition("=")[0].strip() != "labelIds"] + ["labelIds = nyu40"]
    (folder / info.name).write_text("".join(f"{line}\n" for line in lines))
    of_scene = TagList(scene.tags or (), unknown=scene.unknown)
    tags = {"scene": of_scene.written, "frames": frame_tags}
    (folder / "tags.json").write_text(json.dumps(tags, indent=1) + "\n")
