"""`wsss fuse`: the labels of the frames of a scene on its cloud, as files; an interrupted fusion continues."""

import json
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from wsss_ros import fusion, geometry
from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.evaluation.offline import NOTE, POINT_LABELS
from wsss_ros.files import check_writable, parse_json, replace, write_json
from wsss_ros.fusion import FusionSettings
from wsss_ros.label_files.frame_labels import FrameLabels
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.processes.signals import Interrupted, stop_requests
from wsss_ros.scenes import ply
from wsss_ros.scenes.derived import cloud_of, readable_frames, up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.numpy_files import read_npz
from wsss_ros.types import BadInput, Cloud, Frame, Scene

VOTES, PICTURE, _STATE = "votes.npz", "fused.png", "unfinished.npz"
_SAVE_EVERY_S = 20.0
_log = logging.getLogger("wsss_ros")

Progress = Callable[[str, int, int], None]


@dataclass
class Report:
    """What a fusion came to.

    ``frames`` have voted; ``left_out`` counts the others by cause, and ``unread`` those that cannot be read. ``scores``
    are those of the cloud against its truth, None without. ``held_out`` compares the map with frames that did not vote
    (see ``fuse_scene``), None without them.
    """

    points: int = 0
    voted: int = 0
    frames: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    scores: dict[str, Any] | None = None
    held_out: dict[str, Any] | None = None


def fuse_scene(
    scene: Scene,
    source: FrameLabels,
    out: Path,
    settings: FusionSettings,
    frames: int = 0,
    hold_out: int = 0,
    progress: Progress = lambda what, done, total: None,
    up: Sequence[float] | None = None,
) -> Report:
    """Fuse the labels of a scene's frames on its cloud, and write them into the folder ``out``.

    The files: ``NAME.labels.ply`` (x y z, colour and id of the class, confidence, entropy), ``votes.npz`` (the votes of
    each point for each class), ``fused.png``, and ``segment.json``, which ends the fusion. Until then,
    ``unfinished.npz`` has the votes of the frames so far, and the same call continues with the next one.

    Args:
        scene: with poses; its cloud is its own, else it is fused from the frames.
        source: the labels of the frames.
        out: folder to write.
        settings: of the fusion.
        frames: of the scene's frames, spread evenly, may vote; 0: all.
        hold_out: every so many-th frame does not vote; the map is then compared with its labels and its truth. 0: none.
        progress: is called with what is done, how much of it, and of how much.
        up: the direction against gravity; None: that of the scene (``up_of``).

    Raises:
        BadInput: ``out`` is complete or has something else in it; there is no cloud; no frame has labels, or no label
            reaches a point.
        NotWritten: an OSError, where nothing can be written to ``out``.
        Interrupted: on SIGINT and SIGTERM, after the votes so far are saved.
    """
    chosen = spread(len(scene), frames)
    held = chosen[hold_out - 1 :: hold_out] if hold_out else []
    voters = sorted({*chosen} - {*held})
    _check_held(hold_out, held, voters)
    state = _State(out, _identity(scene, source, settings, chosen, held, up))
    check_writable(out)
    cloud, finite = state.cloud(scene, progress)
    up = up or up_of(scene)
    fused = fusion.Fusion(cloud.xyz[finite], settings, len(source.labels), up=up)
    _vote(scene, source, voters, fused, state, progress)
    if not fused.frames:
        reasons = ", ".join(causes(state.left_out)) or "the scene has no frames"
        raise BadInput(f"{scene.name}: no frame of {len(chosen)} has voted ({reasons})")
    report = Report(len(cloud), int((fused.votes > 0).any(axis=1).sum()), fused.frames, state.left_out, state.unread)
    if not report.voted:
        raise BadInput(
            f"{scene.name}: the labels of {fused.frames} frames reach none of {len(cloud):,} points; check that their "
            f"ids are those of '{source.labels.name}', and that depth and poses belong to the cloud"
        )
    label = np.full(len(cloud), UNLABELLED, np.uint8)
    label[finite] = fused.result().label
    truth = scene.cloud_truth() if scene.cloud is not None and len(scene.cloud) else None
    if truth is not None:
        report.scores = ConfusionMatrix(source.labels).update(label, truth).compute()
    if held:
        report.held_out = _compare(scene, source, held, cloud.xyz[finite], label[finite], progress)
    _write(out, scene.name, cloud, finite, label, fused.votes, source.labels)
    _draw(out / PICTURE, cloud, up, finite, label, truth, fused.votes, source.labels)
    _write_note(out, scene.name, source, settings, report)
    state.path.unlink(missing_ok=True)
    return report


def causes(left_out: Counter[str], most: int = 3) -> list[str]:
    """The most frequent causes for which frames are left out, each with its count, and the count of the others."""
    found = left_out.most_common(most)
    others = left_out.total() - sum(count for _, count in found)
    return [f"{count} {cause}" for cause, count in found] + [f"{others} for other causes"] * (others > 0)


def _check_held(hold_out: int, held: list[int], voters: list[int]) -> None:
    """Raises BadInput where all frames are held out, and warns where none is."""
    if held and not voters:
        raise BadInput(f"hold_out {hold_out}: all {len(held)} frames are held out, so none can vote; hold out fewer")
    if hold_out and not held:
        _log.warning("hold_out %d: none of %d frames is held out", hold_out, len(voters))


def _identity(
    scene: Scene,
    source: FrameLabels,
    settings: FusionSettings,
    chosen: list[int],
    held: list[int],
    up: Sequence[float] | None,
) -> str:
    """What must be the same for a fusion to continue."""
    parts = {"scene": scene.name, "frames": len(scene), "chosen": chosen, "held_out": held, "labels": source.source}
    parts |= {} if up is None else {"up": [*map(float, up)]}
    return json.dumps(parts | {"classes": source.labels.names, "settings": settings.model_dump()})


class _State:
    """The votes of a fusion that is not complete, on disk.

    Raises BadInput for a folder that is complete, that has something else in it, or a fusion with other arguments.
    """

    def __init__(self, out: Path, identity: str) -> None:
        self.path, self._identity = out / _STATE, identity
        self.next, self.frames, self.left_out, self.unread = 0, 0, Counter[str](), 0
        self._saved: dict[str, np.ndarray] = {}
        self._last = time.monotonic()
        if (out / NOTE).exists():
            raise BadInput(f"{out} is complete; remove it or choose another --out")
        killed = {*out.glob(".*.partial")}  # of a fusion that was killed while it wrote
        if self.path.is_file():
            self._load()
        elif out.exists() and (not out.is_dir() or set(out.iterdir()) - killed):
            raise BadInput(f"{out} exists already and is not an unfinished fusion; remove it or choose another --out")
        for left in killed:
            left.unlink(missing_ok=True)

    def _load(self) -> None:
        try:
            self._saved = {name: values.copy() for name, values in read_npz(self.path).items()}
            noted = parse_json(str(self._saved["note"]))
        except (ValueError, KeyError) as error:
            raise BadInput(f"{self.path}: cannot be read ({error}); remove it to start again") from error
        if noted["identity"] != self._identity:
            raise BadInput(f"{self.path.parent} has a fusion of other frames, labels or settings; choose another --out")
        self.next, self.frames, self.left_out = noted["next"], noted["frames"], Counter(noted["left_out"])
        self.unread = noted.get("unread", 0)

    def cloud(self, scene: Scene, progress: Progress) -> tuple[Cloud, Bool[np.ndarray, "N"]]:
        """The cloud, and which of its points are finite."""
        if self._saved:
            rgb = self._saved["rgb"]
            cloud = Cloud(self._saved["xyz"], rgb if len(rgb) else None)
        else:
            cloud = cloud_of(scene, _read(scene, progress))
        self._cloud = cloud
        finite = np.isfinite(cloud.xyz).all(axis=1)
        if not finite.any():
            raise BadInput(f"{scene.name}: no cloud, and no frames with depth to fuse one; give a scene with either")
        return cloud, finite

    def continue_with(self, fused: fusion.Fusion) -> None:
        """Give the fusion the votes that are on disk."""
        if self._saved:
            fused.votes, fused.frames = self._saved["votes"], self.frames

    def save(self, fused: fusion.Fusion, done: int, at_once: bool = False) -> None:
        """Save the votes after ``done`` frames, unless they were saved a short time ago."""
        self.next = done
        if not at_once and time.monotonic() - self._last < _SAVE_EVERY_S:
            return
        note = {"identity": self._identity, "next": done, "frames": fused.frames, "left_out": dict(self.left_out)}
        note["unread"] = self.unread
        rgb = np.zeros((0, 3), np.uint8) if self._cloud.rgb is None else self._cloud.rgb
        arrays: dict[str, Any] = {
            "xyz": self._cloud.xyz,
            "rgb": rgb,
            "votes": fused.votes,
            "note": np.array(json.dumps(note)),
        }
        replace(self.path, lambda file: np.savez(file, **arrays))
        self._last = time.monotonic()


def _read(scene: Scene, progress: Progress) -> Iterator[Frame]:
    """The frames of the scene, without those that cannot be read."""
    for done, frame in enumerate(readable_frames(scene), 1):
        yield frame
        progress("frames of the cloud", done, len(scene))


def _vote(
    scene: Scene, source: FrameLabels, voters: list[int], fused: fusion.Fusion, state: _State, progress: Progress
) -> None:
    """Let the frames vote. A signal is taken between two frames: a frame that has voted in part would vote twice."""
    state.continue_with(fused)
    with stop_requests() as stop:
        for done in range(state.next, len(voters)):
            frame = None
            try:
                frame = scene.frame(voters[done])
                fused.add(frame, source.of(frame))
            except BadInput as error:
                state.left_out[str(error)] += 1
                state.unread += frame is None
            state.save(fused, done + 1, at_once=stop.number is not None)
            progress("votes", done + 1, len(voters))
            if stop.number is not None:
                after = f"{signal.Signals(stop.number).name} after {done + 1} of {len(voters)} frames"
                raise Interrupted(f"stopped by {after}; the same command continues from there", stop.number)


def _compare(
    scene: Scene, source: FrameLabels, held: list[int], points: np.ndarray, label: np.ndarray, progress: Progress
) -> dict[str, Any]:
    """The map against the labels of frames that did not vote, where both have a label, in percent."""
    same = total = used = 0
    single, mapped = ConfusionMatrix(source.labels), ConfusionMatrix(source.labels)
    for number, index in enumerate(held):
        try:
            frame = scene.frame(index)
            of_frame, of_map = source.of(frame), fusion.labels_in_frame(points, label, frame)
        except BadInput:
            continue
        both = (of_frame != UNLABELLED) & (of_map != UNLABELLED)
        same, total, used = same + int((of_frame == of_map)[both].sum()), total + int(both.sum()), used + 1
        truth = scene.frame_truth(index)
        if truth is not None:
            single.update(of_frame[both], truth[both])
            mapped.update(of_map[both], truth[both])
        progress("frames held out", number + 1, len(held))
    found: dict[str, Any] = {"frames": used, "pixels": total, "agreement": 100 * same / total if total else None}
    if single.counts.any():
        found |= {"single_frames": single.compute(), "map": mapped.compute()}
    return found


# --- files -----------------------------------------------------------------------------------------


def _write(
    out: Path,
    name: str,
    cloud: Cloud,
    finite: Bool[np.ndarray, "N"],
    label: UInt8[np.ndarray, "N"],
    votes: Float32[np.ndarray, "M C"],
    space: LabelSpace,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    every = np.zeros((len(cloud), votes.shape[1]), np.float32)
    every[finite] = votes
    columns = {"confidence": fusion.share_of_winner(every), "entropy": fusion.entropy(every)}
    ids = space.to_ids(label).astype(np.uint16)
    ply.write(
        out / f"{name}{POINT_LABELS}", ply.colored_vertices(cloud.xyz, space.colorize(label), label=ids, **columns)
    )
    arrays: dict[str, Any] = {
        "xyz": cloud.xyz,
        "label": label,
        "votes": every,
        "classes": np.array(space.names),
        **columns,
    }
    replace(out / VOTES, lambda file: np.savez_compressed(file, **arrays))


def _draw(
    path: Path,
    cloud: Cloud,
    up: Sequence[float],
    finite: Bool[np.ndarray, "N"],
    label: UInt8[np.ndarray, "N"],
    truth: UInt8[np.ndarray, "N"] | None,
    votes: Float32[np.ndarray, "M C"],
    space: LabelSpace,
) -> None:
    disagreement = fusion.entropy(votes) / np.float32(np.log2(max(votes.shape[1], 2)))
    views = {} if cloud.rgb is None else {"cloud": cloud.rgb[finite]}
    views["fused labels"] = space.colorize(label[finite])
    if truth is not None:
        views["truth"] = space.colorize(truth[finite])
    views["disagreement of the votes (white: none has voted)"] = pictures.heat(disagreement[None])[0]
    xyz = cloud.xyz[finite] @ geometry.upright(np.array(up)).T
    row = [pictures.render_cloud(xyz, colors) for colors in views.values()]
    named = set(space.present(label)) | (set(space.present(truth)) if truth is not None else set())
    pictures.save(pictures.labelled_sheet(list(views), [row], space, named), path)


def _write_note(out: Path, name: str, source: FrameLabels, settings: FusionSettings, report: Report) -> None:
    note = {
        "name": name,
        "labels_of_frames": source.source,
        "fusion": settings.model_dump(),
        "points": report.points,
        "points_with_votes": report.voted,
        "frames": report.frames,
        "left_out": dict(report.left_out),
        "scores": report.scores,
        "held_out": report.held_out,
        "labels": source.labels.to_dict(),
    }
    write_json(out / NOTE, note)
