"""Findings about this machine: Python, torch and its device, ROS, the profile of Fast DDS, shared memory, ports."""

import importlib.metadata
import os
import platform
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from wsss_ros.config import share
from wsss_ros.device import device_named, has_fast_bfloat16
from wsss_ros.doctor.findings import Finding
from wsss_ros.node_set import PROFILES, Arguments
from wsss_ros.types import BadInput

PYTHONS = ((3, 10), (3, 13))  # from, and below
SEGMENT_BYTES = 64 << 20  # of shared memory, that a process of ours takes
LEAST_SHM_BYTES = 512 << 20
_RMW = "rmw_fastrtps_cpp"


def findings(
    given: Arguments, variables: Mapping[str, str] = os.environ, shm: Path = Path("/dev/shm")
) -> list[Finding]:
    """Everything that can be found out without starting a node. ``given`` are the arguments of the set to check."""
    return [
        _python(),
        _torch(given),
        _weights(),
        _optional("viser", "view", "viewer:=true and wsss view"),
        _ros(variables),
        _rmw(variables),
        _profile(variables),
        *_shared_memory(shm),
        _domain(variables),
        *_ports(given),
    ]


def _python() -> Finding:
    version = platform.python_version()
    fits = PYTHONS[0] <= tuple(map(int, version.split(".")[:2])) < PYTHONS[1]
    return Finding("ok" if fits else "fault", "python", version if fits else f"{version}; expected 3.10, 3.11 or 3.12")


def _torch(given: Arguments) -> Finding:
    try:
        import torch

        device = device_named(given.device or "auto")
    except (ImportError, BadInput) as error:
        return Finding("fault", "torch", str(error))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores"
    arithmetic = "bfloat16" if has_fast_bfloat16(device) else "float32"
    return Finding("ok", "torch", f"{torch.__version__} on {device} ({name}), {arithmetic}")


def _weights() -> Finding:
    from wsss_ros.inference import shipped_weights

    missing = [kind for kind in ("image", "cloud") if not shipped_weights(kind).is_file()]
    text = f"those of the {' and the '.join(missing)} network are missing; install the package again"
    return Finding("fault", "weights", text) if missing else Finding("ok", "weights", "those that ship are there")


def _optional(package: str, extra: str, purpose: str) -> Finding:
    if find_spec(package) is None:
        return Finding("note", package, f"not installed, so no {purpose}; pip install 'wsss_ros[{extra}]'")
    return Finding("ok", package, f"{importlib.metadata.version(package)}, for {purpose}")


def _ros(variables: Mapping[str, str]) -> Finding:
    if find_spec("rclpy") is None:
        return Finding(
            "fault", "ros", "no rclpy; source ROS 2 (/opt/ros/jazzy/setup.bash) or: pip install 'wsss_ros[ros]'"
        )
    return Finding("ok", "ros", variables.get("ROS_DISTRO") or "rclpy from PyPI, without a ROS 2 installation")


def _rmw(variables: Mapping[str, str]) -> Finding:
    chosen = variables.get("RMW_IMPLEMENTATION") or _RMW
    if chosen == _RMW:
        return Finding("ok", "rmw", chosen)
    text = f"{chosen}: the profile for large messages is for {_RMW}; enlarge the buffers of {chosen} yourself"
    return Finding("note", "rmw", text)


def _profile(variables: Mapping[str, str]) -> Finding:
    chosen = next((variables[name] for name in PROFILES if variables.get(name)), "")
    if not chosen:
        ours = share("config/fastdds.xml")
        text = "ours is loaded by wsss and by the launch file; a driver outside of them needs it too: export"
        return Finding("note", "dds profile", f"{text} {PROFILES[0]}={ours}")
    return _judged_profile(Path(chosen))


def _judged_profile(path: Path) -> Finding:
    try:
        sizes = [int(size) for size in re.findall(r"<segment_size>\s*(\d+)", path.read_text())]
    except OSError as error:
        return Finding("fault", "dds profile", f"{path} cannot be read ({error.strerror}); give an existing file")
    if max(sizes, default=0) >= SEGMENT_BYTES:
        return Finding("ok", "dds profile", f"{path}: segments of {max(sizes) >> 20} MB")
    has = f"segments of {max(sizes) >> 10} kB" if sizes else "the default segments of 512 kB"
    ours = share("config/fastdds.xml")
    return Finding(
        "fault", "dds profile", f"{path} has {has}: larger images and clouds are lost; set 64 MB, as {ours} does"
    )


def _shared_memory(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        yield Finding("note", "shared memory", f"no {folder}: messages go over UDP, which is slower")
        return
    free = shutil.disk_usage(folder).free
    text = f"{free >> 20} MB free in {folder}"
    if free < LEAST_SHM_BYTES:
        text += f"; each process takes about {SEGMENT_BYTES >> 20} MB: end others, or give more (docker --shm-size=2g)"
    yield Finding("ok" if free >= LEAST_SHM_BYTES else "fault", "shared memory", text)
    files = [file for file in folder.glob("fastrtps_*") if file.is_file()]
    if files:
        size = sum(file.stat().st_size for file in files) >> 20
        text = f"{len(files)} files of Fast DDS, {size} MB; those of ended processes: fastdds shm clean"
        yield Finding("ok", "shared memory", text)


def _domain(variables: Mapping[str, str]) -> Finding:
    domain = variables.get("ROS_DOMAIN_ID") or "0"
    if not domain.isdecimal() or int(domain) > 232:
        return Finding("fault", "domain", f"ROS_DOMAIN_ID={domain}; expected a number from 0 to 232")
    reach = variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "SUBNET"
    alone = reach == "LOCALHOST" or variables.get("ROS_LOCALHOST_ONLY") == "1"
    where = "this machine only: a driver on another machine is not seen" if alone else f"discovery range {reach}"
    return Finding("ok", "domain", f"ROS_DOMAIN_ID {domain}, {where}")


def _ports(given: Arguments) -> Iterator[Finding]:
    pages = (
        ("tag page", given.tag, given.tag_host, given.tag_port, 8080),
        ("viewer", given.viewer, given.viewer_host, given.viewer_port, 8081),
    )
    for name, wanted, host, port, default in pages:
        yield _port(name, wanted, host or "127.0.0.1", default if port is None else port)


def _port(name: str, wanted: bool, host: str, port: int) -> Finding:
    try:
        with socket.create_server((host, port)):
            return Finding("ok", f"port {port}", f"free, for the {name} on {host}")
    except OSError as error:
        text = f"{error.strerror or error} on {host}: the {name} cannot be served there; give another port"
        return Finding("fault" if wanted else "note", f"port {port}", text)
