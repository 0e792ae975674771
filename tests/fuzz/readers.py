"""Every reader of files and messages, with its valid inputs, and with inputs that once were a fault."""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.seeds import (
    BOMB,
    DEPTHS,
    INTRINSICS,
    SPACE,
    TAGS,
    TEXTS,
    TRAJECTORIES,
    arrays_seeds,
    bags_seeds,
    checkpoints_seeds,
    encoded,
    glb_seeds,
    label_images_seeds,
    large_jpeg,
    large_png,
    layout_seeds,
    messages_seeds,
    npy_claiming,
    npz_of,
    obj_seeds,
    pcds_seeds,
    plys_seeds,
    requests_seeds,
    scannet_seeds,
    scene_files,
    semantic_map_seeds,
    sens_seeds,
    tum_files,
    with_description,
)
from support.paths import ROOT
from support.tag_site import Site

from wsss_ros.bags import cdr
from wsss_ros.bags.bag import Bag
from wsss_ros.bags.cloud_codec import cloud_to_labels, read_cloud
from wsss_ros.bags.codec import (
    camera_from_info,
    color_to_rgb,
    depth_to_m,
    image_to_ids,
    image_to_labels,
    stamped_pose_to_matrix,
)
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recording import Raw
from wsss_ros.config import load
from wsss_ros.fusion.map_files import read_map
from wsss_ros.labels.label_file import as_yaml, read_label_file
from wsss_ros.model_files.glb import read_glb
from wsss_ros.model_files.obj import read_obj
from wsss_ros.networks import checkpoint
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.scenes import open_scene, tag_files
from wsss_ros.scenes.cloud_files import open_cloud
from wsss_ros.scenes.depth_files import depth_size, read_depth_m
from wsss_ros.scenes.images import image_size, read_rgb
from wsss_ros.scenes.intrinsics import read_intrinsics_file
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.scenes.point_text import read_points
from wsss_ros.scenes.reading import reading_of, scene_file
from wsss_ros.scenes.sens import SensReader
from wsss_ros.scenes.tag_files import annotations
from wsss_ros.scenes.trajectories import read_trajectory
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import BadInput


@dataclass
class Reader:
    """A kind of input.

    ``read`` reads the file at a path and raises BadInput for what it cannot use. ``seeds`` are valid files by name,
    ``hard`` broken ones, read as they are. ``others`` are files next to it. ``share`` is its part of all inputs.
    """

    name: str
    seeds: dict[str, bytes]
    read: Callable[[Path], Any]
    others: dict[str, bytes] = field(default_factory=dict)
    hard: dict[str, bytes] = field(default_factory=dict)
    share: int = 4


def _read_message(path: Path) -> Any:
    """A message as every one of our readers that takes its type."""
    msgtype = path.name.rpartition(".")[2].replace("-", "/")
    message = Raw("/topic", msgtype, 0, path.read_bytes()).decoded(cdr.typestore())
    readers: dict[str, tuple[Callable[[Any], Any], ...]] = {
        cdr.IMAGE: (color_to_rgb, depth_to_m, image_to_labels, image_to_ids),
        cdr.JPEG: (color_to_rgb, depth_to_m),
        cdr.INFO: (camera_from_info, lambda each: camera_from_info(each, 24, 32, True)),
        cdr.POSE: (stamped_pose_to_matrix,),
        cdr.CLOUD: (read_cloud, cloud_to_labels),
    }
    return any_of(*(lambda read=read: read(message) for read in readers[msgtype]))


def any_of(*reads: Callable[[], Any]) -> list[Any]:
    """The results of those that read it; the last BadInput where none does. All are called."""
    results, refusal = [], BadInput("nothing")
    for read in reads:
        try:
            results.append(read())
        except BadInput as error:
            refusal = error
    if not results:
        raise refusal
    return results


def _read_bag(path: Path) -> Any:
    from wsss_ros.bags import unpacking

    try:
        return any_of(lambda: list(Bag(path).raw()), lambda: list(BagFrames(path).views()))
    finally:
        unpacking.clear()


def _read_sens(path: Path) -> Any:
    reader = SensReader(path)
    return [reader.frame(index) for index in range(len(reader))]


def _read_tags(path: Path) -> Any:
    if path.name.startswith("labelme"):
        content = annotations.labelme([path])
    elif path.name.startswith("voc"):
        content = annotations.voc([path])
    else:
        content = tag_files.read_file(path)
    content = tag_files.fitted(str(path), content, SPACE)
    return [SPACE.tag_list(row.names) for row in content.rows]


def _read_scan(path: Path) -> Any:
    folder = next(above for above in path.parents if above.name == "scan")
    scene = open_scene(folder, SPACE)
    return len(scene.cloud), scene.cloud_truth(), scene.tags, [scene.frame(at) for at in range(len(scene))]


def _of_layout(layout: str) -> Reader:
    texts, files = layout_seeds(layout)

    def read(path: Path) -> Any:
        scene = open_scene(next(above for above in path.parents if above.name == layout), SPACE)
        return [scene.frame(index) for index in range(len(scene))]

    return Reader(f"texts of {layout}", texts, read, others=files, share=1)


def _read_yolo(path: Path) -> Any:
    return annotations.yolo(path.parent.parent if path.parent.name == "labels" else path.parent)


def _read_scene(path: Path) -> Any:
    scene = open_scene(path.parent, SPACE)
    return [scene.frame(index) for index in range(len(scene))]


_site = cache(lambda: Site(SPACE))


def _ask(path: Path) -> Any:
    """Send a request, end sending, and read the whole answer; a refusal is a BadInput."""
    site = _site()
    with site.client() as client:
        client.settimeout(20)
        with suppress(OSError):  # the server may close before it has read everything; then there is nothing to end
            client.sendall(path.read_bytes().replace(b"HOST", site.own.encode()))
            client.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionError):
            while part := client.recv(1 << 16):
                answer += part
    if b"internal error" in answer or b" 500 " in answer[:20]:
        raise RuntimeError(answer[-200:])
    if not answer.startswith((b"HTTP/1.0 200", b"HTTP/1.0 204", b"HTTP/1.0 304")):
        raise BadInput(answer[:100].decode("latin-1"))
    return answer


def _read_obj(path: Path) -> Any:
    def read(name: str) -> bytes:
        try:
            return (path.parent / name).read_bytes()
        except (OSError, ValueError) as error:
            raise KeyError(name) from error

    return read_obj(read, "a.obj", str(path))


def readers() -> list[Reader]:
    """All readers. Seeds of some are made by writers, so this takes a second."""
    nerf, pictures = scene_files()
    tum_rows, tum_all = tum_files()
    scannet_texts, scannet_all = scannet_seeds()
    networks = checkpoints_seeds()
    wide = with_description(networks["image.safetensors"], lambda d: d["network"]["options"].update(width=4096.0))
    config = (ROOT / "config/joint_rooms.yaml").read_bytes()
    deep = b"[" * 100_000
    jpeg, png = large_jpeg(), large_png(65_000, 65_000)
    images = {
        "a.jpg": encoded("JPEG"),
        "a.png": encoded("PNG"),
        "a.tiff": encoded("TIFF"),
        "a.webp": encoded("WEBP"),
        "a.bmp": encoded("BMP"),
    }
    bomb = BOMB.encode()
    return [
        Reader("messages", messages_seeds(), _read_message, share=12),
        Reader("bags", bags_seeds(), _read_bag, share=3),
        Reader(
            "configurations",
            {"train.yaml": config, "online.yaml": b"radius_m: 0.5\n"},
            lambda path: load(TrainConfig if path.name.startswith("train") else OnlineConfig, path),
            hard={"train.yaml:latin": b"labels: caf\xe9", "train.yaml:deep": deep, "train.yaml:bomb": bomb},
        ),
        Reader(
            "label files",
            {"labels.yaml": as_yaml(SPACE).encode()},
            read_label_file,
            hard={"labels.yaml:deep": deep, "labels.yaml:bomb": bomb + b"classes: *i\n", "labels.yaml:only": bomb},
        ),
        Reader(
            "scene YAML",
            {"meta.yaml": b"layout: tum\ndepth_scale: 5000\nsize: [640, 480]\nrate_hz: 30\nintrinsics: [1, 2, 3, 4]\n"}
            | {"scene.yaml": b"folder: .\nunit: mm\n"},
            lambda path: reading_of(path.parent) if path.name == "meta.yaml" else scene_file(path),
            hard={"meta.yaml:deep": deep, "meta.yaml:bomb": bomb, "scene.yaml:nul": b'folder: "\\0"\n'},
        ),
        Reader(".sens", sens_seeds(), _read_sens),
        Reader("PLY", plys_seeds(), open_cloud, share=6),
        Reader("PCD", pcds_seeds(), open_cloud, share=6),
        Reader(
            "npz, npy clouds",
            arrays_seeds(),
            open_cloud,
            hard={
                "rows.npy:claims": npy_claiming((1 << 40, 3)),
                "packed.npz:claims": npz_of(xyz=npy_claiming((9, 1 << 40))),
            },
        ),
        Reader("text clouds", TEXTS, open_cloud),
        Reader("S3DIS rows", {"points.txt": TEXTS["plain.xyz"]}, read_points, share=2),
        Reader(
            "colour images",
            images,
            lambda path: any_of(lambda: image_size(path), lambda: read_rgb(path)),
            hard={"a.jpg:large": jpeg, "a.png:large": png, "a.png:15000": large_png(15_000, 15_000)},
            share=6,
        ),
        Reader(
            "depth images",
            DEPTHS,
            lambda path: any_of(lambda: depth_size(path), lambda: read_depth_m(path)),
            hard={
                "d.png:large": large_png(65_000, 65_000, True),
                "d.npy:header": b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(64),
                "d.npy:claims": npy_claiming((1 << 20, 1 << 20)),
                "d.npz:bomb": npz_of(depth=npy_claiming((40_000, 40_000)) + bytes(1 << 28)),
                "d.pfm:large": b"Pf\n99999999999 99999999999\n-1.0\n",
            },
            share=6,
        ),
        Reader(
            "label images",
            label_images_seeds(),
            lambda path: LabelImages(path.parent, SPACE, "index").read(path.stem),
            hard={"ids.npy:claims": npy_claiming((1 << 20, 1 << 20))},
        ),
        Reader(
            "intrinsics",
            INTRINSICS,
            lambda path: read_intrinsics_file(path).camera(640, 480),
            hard={"open3d.json:deep": deep, "info.yaml:deep": b"a: " + deep, "cv.yml:bomb": bomb},
            share=6,
        ),
        Reader("trajectories", TRAJECTORIES, lambda path: read_trajectory(path).by_key),
        Reader("tags and annotations", TAGS, _read_tags, hard={"tags.json:deep": deep}, share=8),
        Reader(
            "YOLO",
            {"labels/a.txt": b"0 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n", "data.yaml": b"names: [chair, sofa]\n"},
            _read_yolo,
            others={"labels/a.txt": b"0 0.5 0.5 0.1 0.1\n", "data.yaml": b"names: [chair, sofa]\n"},
            hard={"data.yaml:deep": b"names: " + deep, "data.yaml:bomb": bomb + b"names: *i\n"},
            share=2,
        ),
        Reader("transforms.json", nerf, _read_scene, others=pictures, hard={"transforms.json:deep": deep}),
        Reader("TUM lists", tum_rows, _read_scene, others=tum_all, share=3),
        *map(_of_layout, ("icl_nuim", "redwood", "bundlefusion", "arkitscenes", "colmap", "colmap_binary")),
        Reader("texts of ScanNet", scannet_texts, _read_scan, others=scannet_all, share=2),
        Reader("OBJ models", obj_seeds(), _read_obj, others=obj_seeds() | {"a.png": encoded("PNG")}, share=2),
        Reader(
            "GLB models",
            glb_seeds(),
            read_glb,
            others={"a.png": encoded("PNG")},
            hard={"a.glb:circle": glb_seeds(node={"children": [0, 0]})["a.glb"]},
            share=2,
        ),
        Reader(
            "checkpoints",
            networks,
            checkpoint.load,
            hard={"image.safetensors:wide": wide, "image.safetensors:deep": struct.pack("<Q", len(deep)) + deep},
            share=2,
        ),
        Reader("semantic maps", semantic_map_seeds(), read_map, share=2),
        Reader("tag page", requests_seeds(), _ask, share=3),
    ]
