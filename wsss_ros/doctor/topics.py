"""Findings about the topics of a robot: each input found or not, its rate, encoding, frame, stamps, poses and TF."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from wsss_ros.doctor.findings import Finding
from wsss_ros.geometry.camera_models import frame_finding

CLOCK_S = 1.0  # largest difference between stamps and this machine's clock without a note
SLOW_HZ = 1.0


class Role(NamedTuple):
    """An input of the set, and what cannot be made without it."""

    name: str
    purpose: str


ROLES = (
    Role("colour", "result at all"),
    Role("camera_info", "semantic points and no cloud"),
    Role("depth", "semantic points and no cloud"),
    Role("pose", "semantic points and no cloud"),
    Role("cloud", "semantic cloud"),
)


@dataclass
class Observed:
    """What was seen of one input in some seconds. ``detail`` says what is in the messages, ``fault`` why it is wrong.

    ``topic`` is the topic that messages came on, else the expected one; ``publishers`` are nodes; ``why`` is the reason
    where no message came. ``oddities`` are what is odd and may be right; ``size`` is width and height of its pictures.
    """

    topic: str
    publishers: Sequence[str] = ()
    stamps_ns: list[int] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    frame: str = ""
    detail: str = ""
    fault: str = ""
    why: str = "nobody publishes it"
    oddities: Sequence[str] = ()
    size: tuple[int, int] | None = None

    @property
    def rate_hz(self) -> float:
        """Messages a second; 0 for less than two."""
        span = self.arrivals_s[-1] - self.arrivals_s[0] if len(self.arrivals_s) > 1 else 0.0
        return (len(self.arrivals_s) - 1) / span if span > 0 else 0.0


@dataclass
class Graph:
    """All that was observed: inputs by role, and TF.

    ``pose_from_tf`` is the path that TF has to the camera, or ``tf_fault`` why it has none; ``extrinsic_fault`` is why
    TF does not connect the frames of depth and colour. ``late_s`` are arrival times minus stamps of the colour images.
    ``clock_fault`` is why there is no simulated time. ``depth_info`` is the topic of the calibration of depth where no
    message came on it, else empty.
    """

    inputs: Mapping[str, Observed]
    pose_from_tf: str = ""
    tf_fault: str = ""
    extrinsic_fault: str = ""
    late_s: Sequence[float] = ()
    tolerance_s: float = 0.02
    seconds: float = 5.0
    clock_fault: str = ""
    depth_info: str = ""


def findings(graph: Graph) -> list[Finding]:
    """The findings, input by input."""
    found: list[Finding] = []
    for role in ROLES:
        found += _pose(role, graph) if role.name == "pose" else _input(role, graph)
    found += [*_calibration(graph), *_registration(graph)]
    return [*found, *_order(graph), *_matching(graph), *_clocks(graph)]


# --- one input ---------------------------------------------------------------------------------------


def _input(role: Role, graph: Graph) -> list[Finding]:
    seen = graph.inputs[role.name]
    if not seen.arrivals_s:
        return [_silent(role, seen, graph)]
    if seen.fault:
        return [Finding("fault", role.name, f"{seen.topic}: {seen.fault}")]
    notes = [Finding("note", role.name, f"{seen.topic}: {text}") for text in seen.oddities]
    return [Finding("ok", role.name, _described(seen)), *notes, *_stamps(role, seen)]


def _described(seen: Observed) -> str:
    rate = f"{seen.rate_hz:.1f} Hz" if seen.rate_hz else "one message"
    by = ", ".join(sorted(set(seen.publishers)))
    parts = [seen.topic, rate, seen.detail, f"frame '{seen.frame}'" if seen.frame else "", f"from {by}"]
    return ", ".join(filter(None, parts))


def _silent(role: Role, seen: Observed, graph: Graph) -> Finding:
    if role.name == "cloud" and not seen.publishers:
        return Finding("ok", role.name, f"{seen.topic} has no publisher: cloud_accumulator builds it from the views")
    text = f"{seen.topic}: no message within {graph.seconds:g} s"
    if role.name == "cloud":
        return Finding(
            "note", role.name, f"{text}, though {', '.join(seen.publishers)} offers it; a map may come seldom"
        )
    return Finding("fault", role.name, f"{text}, so no {role.purpose}: {seen.why}")


def _stamps(role: Role, seen: Observed) -> Iterator[Finding]:
    stamps = np.array(seen.stamps_ns)
    if (stamps == 0).all():
        text = f"{seen.topic}: all stamps are 0, so nothing can be matched; set the stamp in the driver"
        yield Finding("fault", role.name, text)
    elif len(stamps) > 2 and (stamps == stamps[0]).all() and role.name != "camera_info":
        yield Finding("fault", role.name, f"{seen.topic}: all stamps are {stamps[0]}; the driver repeats one stamp")
    if role.name in ("colour", "depth") and 0 < seen.rate_hz < SLOW_HZ:
        yield Finding("note", role.name, f"{seen.topic}: only {seen.rate_hz:.2f} Hz arrive")
    if not seen.frame and role.name != "cloud":
        yield Finding(
            "note", role.name, f"{seen.topic}: frame_id is empty, so TF cannot be asked; set it in the driver"
        )


# --- what belongs together ---------------------------------------------------------------------------


def _pose(role: Role, graph: Graph) -> list[Finding]:
    seen = graph.inputs[role.name]
    if seen.publishers:
        return _input(role, graph)
    if graph.pose_from_tf:
        return [Finding("ok", role.name, f"from TF: {graph.pose_from_tf}")]
    why = f"{seen.topic}: {seen.why}. TF: {graph.tf_fault or 'no transform came'}"
    return [Finding("fault", role.name, f"{why}, so no {role.purpose}; start odometry, SLAM or localisation")]


def _calibration(graph: Graph) -> Iterator[Finding]:
    color, info = graph.inputs["colour"], graph.inputs["camera_info"]
    if other := frame_finding(info.frame, color.frame):
        yield Finding("note", "calibration", other)
    if color.size and info.size and color.size != info.size:
        sizes = " for images of ".join(f"{width} x {height}" for width, height in (info.size, color.size))
        yield Finding("fault", "calibration", f"{info.topic}: it is of {sizes}; name the one published with the images")


def _registration(graph: Graph) -> Iterator[Finding]:
    sizes = graph.inputs["colour"].size, graph.inputs["depth"].size
    color, depth = (graph.inputs[name].frame.removeprefix("/") for name in ("colour", "depth"))
    other_size = None not in sizes and sizes[0] != sizes[1]
    other_frame = bool(color and depth and color != depth)
    if (other_size or other_frame) and graph.depth_info:
        text = f"depth is of another camera or size than colour, and no message came on {graph.depth_info}"
        yield Finding(
            "fault", "registration", f"{text}; name it (depth_camera_info_topic), or let the driver align depth"
        )
    if not other_frame:
        return
    if graph.extrinsic_fault:
        text = f"depth is in '{depth}', colour in '{color}', and TF does not connect them ({graph.extrinsic_fault})"
        yield Finding(
            "fault", "registration", f"{text}; publish the extrinsic, or let the driver align depth to colour"
        )
    else:
        yield Finding("ok", "registration", f"depth in '{depth}' is brought into '{color}' with the extrinsic of TF")


def _order(graph: Graph) -> Iterator[Finding]:
    back = [name for name, seen in graph.inputs.items() if (np.diff(seen.stamps_ns) < 0).any()]
    if back:
        yield Finding("note", "stamps", f"those of {', '.join(back)} go back; two publishers, or a looped bag?")


def _matching(graph: Graph) -> Iterator[Finding]:
    color = np.array(graph.inputs["colour"].stamps_ns)
    for name in ("depth", "camera_info", "pose"):
        stamps = np.array(graph.inputs[name].stamps_ns)
        if len(color) < 2 or len(stamps) < 2 or not stamps.any() or (name == "camera_info" and len(set(stamps)) == 1):
            continue
        away_s = np.abs(color[:, None] - stamps[None]).min(axis=1) / 1e9
        within = float((away_s <= graph.tolerance_s).mean())
        text = f"{100 * within:.0f} % of the images have {name} within {1000 * graph.tolerance_s:g} ms"
        text += f" (median {1000 * np.median(away_s):.0f} ms away)"
        if within >= 0.8:
            yield Finding("ok", "matching", text)
        else:
            advice = "synchronise the streams in the driver, or raise sync_tolerance_s"
            yield Finding("fault" if within < 0.2 else "note", "matching", f"{text}; {advice}")


def _clocks(graph: Graph) -> Iterator[Finding]:
    if graph.clock_fault:
        yield Finding("fault", "clock", graph.clock_fault)
        return
    if not len(graph.late_s) or not any(graph.inputs["colour"].stamps_ns):
        return
    late = float(np.median(graph.late_s))
    if abs(late) <= CLOCK_S:
        yield Finding("ok", "clock", f"images arrive {1000 * late:.0f} ms after their stamps")
    else:
        text = f"stamps of the images are {abs(late):.1f} s {'behind' if late > 0 else 'ahead of'} this machine's clock"
        yield Finding(
            "note", "clock", f"{text}; TF needs one clock: synchronise (chrony), or use_sim_time:=true for a bag"
        )
