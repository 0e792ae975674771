"""Findings about a scene: its frames, depth, path of the camera, cloud, tags and truth."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, UInt8

from wsss_ros.doctor.findings import Finding
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.depth_files import implausible
from wsss_ros.scenes.derived import up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.types import BadInput, Cloud, Frame, Scene

SAMPLED = 8  # places of a scene where two neighbouring frames are read
_JUMP_M = 1.0  # a step between neighbouring frames that no camera takes, if it is also far above the others
_JUMP_RATIO = 10.0


def findings(scene: Scene, labels: LabelSpace) -> Iterator[Finding]:
    """What a scene has. Some of its frames are read.

    Raises:
        BadInput: a file of the scene cannot be read.
    """
    if len(scene):
        places = spread(max(1, len(scene) - 1), SAMPLED)
        unread = dict[str, str]()
        pairs = [found for place in places if (found := _pair(scene, place, unread))]
        if unread and not pairs:
            raise BadInput(next(iter(unread.values())))
        if unread:
            text = f"{len(unread)} of the frames looked at; the first: {next(iter(unread.values()))}"
            yield Finding("note", "not read", text)
        yield from _of_frames(scene, [pair[0] for pair in pairs])
        yield from _of_path(pairs)
    yield from _of_cloud(scene.cloud, len(scene))
    yield from _up(scene)
    yield from _of_tags(scene)
    yield from _of_truth(scene, labels)


def _pair(scene: Scene, place: int, unread: dict[str, str]) -> list[Frame]:
    """The frame at a place and the next one, without those that cannot be read."""
    found = []
    for index in range(place, min(place + 2, len(scene))):
        try:
            found.append(scene.frame(index))
        except BadInput as error:
            unread[f"frame {index}"] = str(error)
    return found


def counted(names: Iterable[str]) -> str:
    """Names with how often each comes, the most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


def _of_frames(scene: Scene, frames: Sequence[Frame]) -> Iterator[Finding]:
    sizes = {f"{frame.rgb.shape[1]}x{frame.rgb.shape[0]}" for frame in frames}
    left_out = getattr(scene, "skipped", {})
    without = "".join(f"; {count} left out: {cause}" for cause, count in left_out.items() if count)
    yield Finding("note" if without else "ok", "frames", f"{len(scene)} of {' and '.join(sorted(sizes))}{without}")
    camera = frames[0].camera
    if camera is not None:
        lens = camera.distortion.model if camera.distortion else "none"
        focal = f"fx {camera.fx:.1f} fy {camera.fy:.1f} cx {camera.cx:.1f} cy {camera.cy:.1f}"
        yield Finding("ok", "camera", f"{focal}, distortion: {lens}")
    depths = [frame.depth_m for frame in frames if frame.depth_m is not None]
    if not depths:
        yield Finding("note", "depth", "none: images can be labelled, but no cloud is made of them")
        return
    known = np.concatenate([depth[depth > 0] for depth in depths])
    share = len(known) / sum(depth.size for depth in depths)
    if not len(known):
        yield Finding("fault", "depth", "every pixel of the frames looked at is missing (0)")
        return
    low, middle, high = np.percentile(known, (1, 50, 99))
    text = f"{low:.2f} to {high:.2f} m, median {middle:.2f} m, at {share:.0%} of the pixels"
    faults = [fault for depth in depths if (fault := implausible(depth, "its scale"))]
    yield Finding("note" if faults or share < 0.2 else "ok", "depth", text + (f"; {faults[0]}" if faults else ""))


def _of_path(pairs: Sequence[Sequence[Frame]]) -> Iterator[Finding]:
    """The path of the camera and the times of the frames, from pairs of neighbouring frames."""
    poses = [frame.world_from_camera for pair in pairs for frame in pair if frame.world_from_camera is not None]
    if poses:
        centres = np.stack([pose[:3, 3] for pose in poses])
        steps = [step for pair in pairs if (step := _step(pair)) is not None]
        usual = float(np.median(steps)) if steps else 0.0
        jumps = sum(step > max(_JUMP_M, _JUMP_RATIO * usual) for step in steps)
        jumping = f"; {jumps} of {len(steps)} steps jump, by {max(steps):.1f} m at most" if jumps else ""
        still = "; the camera never moves" if len(centres) > 1 and not np.ptp(centres, axis=0).any() else ""
        text = f"the camera moves in {_extent(centres)} m, {100 * usual:.1f} cm a frame{jumping}{still}"
        yield Finding("note" if jumping or still else "ok", "poses", text)
    gaps = [(b.stamp_ns - a.stamp_ns) / 1e9 for pair in pairs for a, b in pairwise(pair)]
    if gaps:
        gap = float(np.median(gaps))
        seconds = (pairs[-1][-1].stamp_ns - pairs[0][0].stamp_ns) / 1e9
        rate = f"{1 / gap:.1f} frames a second" if gap > 0 else "the stamps do not increase"
        yield Finding("ok" if min(gaps) > 0 else "note", "times", f"{rate}, {seconds:.1f} s in all")
    same = sum(len(pair) == 2 and np.array_equal(pair[0].rgb, pair[1].rgb) for pair in pairs)
    if same:
        yield Finding("note", "images", f"{same} of {len(pairs)} frames looked at are equal to the next one")


def _step(pair: Sequence[Frame]) -> float | None:
    """How far the camera moves between two frames, metres."""
    poses = [frame.world_from_camera for frame in pair if frame.world_from_camera is not None]
    return float(np.linalg.norm(poses[1][:3, 3] - poses[0][:3, 3])) if len(poses) == 2 else None


def _of_cloud(cloud: Cloud | None, frames: int) -> Iterator[Finding]:
    if cloud is None:
        yield Finding("ok" if frames else "fault", "cloud", "none of its own; it is fused from the frames")
        return
    finite = cloud.xyz[np.isfinite(cloud.xyz).all(axis=1)]
    colour = "with colour" if cloud.rgb is not None else "without colour"
    if not len(finite):
        yield Finding("fault", "cloud", f"{len(cloud)} points, none of which is finite")
        return
    lost = f"; {len(cloud) - len(finite)} are not finite" if len(finite) < len(cloud) else ""
    yield Finding("note" if lost else "ok", "cloud", f"{len(cloud):,} points in {_extent(finite)} m, {colour}{lost}")


def _extent(xyz: Float[np.ndarray, "N 3"]) -> str:
    return " x ".join(f"{side:.1f}" for side in np.ptp(xyz, axis=0))


def _up(scene: Scene) -> Iterator[Finding]:
    try:
        direction = " ".join(f"{value:.2f}" for value in up_of(scene))
    except BadInput as error:
        yield Finding("note", "up", str(error))
        return
    yield Finding("ok", "up", f"{direction} ({'as the scene says' if scene.world_up is not None else 'found'})")


def _of_tags(scene: Scene) -> Iterator[Finding]:
    by_hand = getattr(scene, "tag_file", None) is not None  # else each is found in the true labels of its image
    looked_at = spread(len(scene), 0 if by_hand else SAMPLED)
    of_frames = [tags for index in looked_at if (tags := scene.image_tags(index)) is not None]
    if scene.tags is None and not of_frames:
        yield Finding("note", "tags", "none: the scene can be labelled, but nothing is learned from it")
        return
    yield Finding("ok", "tags", f"of the scene: {', '.join(scene.tags or ()) or 'none'}")
    if len(scene):
        listed = counted(name for tags in of_frames for name in tags)
        whole = f"{len(scene)} frames" if len(looked_at) == len(scene) else f"{len(looked_at)} frames looked at"
        text = f"{len(of_frames)} of {whole} have some{': ' if listed else ''}{listed}"
        yield Finding("ok" if of_frames else "note", "image tags", text)


def _of_truth(scene: Scene, labels: LabelSpace) -> Iterator[Finding]:
    looked_at = spread(len(scene), SAMPLED) if len(scene) else []
    of_images = [truth for index in looked_at if (truth := scene.frame_truth(index)) is not None]
    if of_images:
        text = f"{len(of_images)} of {len(looked_at)} frames looked at have labels: "
        listed = _shares(np.concatenate([truth.ravel() for truth in of_images]), labels)
        yield Finding("ok" if listed else "fault", "image truth", text + (listed or "no pixel has a class"))
    of_cloud = scene.cloud_truth()
    if of_cloud is not None:
        listed = _shares(of_cloud, labels)
        yield Finding("ok" if listed else "fault", "cloud truth", listed or "no point has a class")


def _shares(found: UInt8[np.ndarray, "N"], labels: LabelSpace) -> str:
    """The classes with their shares, the most frequent first."""
    counts = labels.counts(found)
    return ", ".join(f"{labels.names[c]} {counts[c] / len(found):.0%}" for c in np.argsort(-counts) if counts[c])
