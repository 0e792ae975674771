"""Every reader of files and messages, each with small valid inputs made in code, and inputs that were once a fault."""

import io
import json
import socket
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from support import cloud_writers, sens_files
from support.glb_files import write_glb
from support.paths import ROOT
from support.tag_site import Site
from support.tiny_scene import CAMERA, TinyScene

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
from wsss_ros.bags.recording import Raw, SceneRecording
from wsss_ros.config import load
from wsss_ros.labels import scannet20
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

SPACE = scannet20()
PIXELS = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
STEPS = np.full((12, 16), 1500, np.uint16)


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


def encoded(kind: str, pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    """An image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def saved(save: Callable[..., Any], *arrays: Any, **named: Any) -> bytes:
    """What a function of NumPy writes."""
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def npy_claiming(shape: tuple[int, ...]) -> bytes:
    """The header of an array of this shape, and few bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def npz_of(**members: bytes) -> bytes:
    """A zip file with these members, compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def large_jpeg() -> bytes:
    """A JPEG whose header says 65,500 x 65,500 pixels."""
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">2H", 65500, 65500)
    return bytes(data)


def large_png(width: int, height: int, grey16: bool = False) -> bytes:
    """A PNG whose header says this size, and few pixels."""
    from fuzz.mutations import with_png_sums

    data = encoded("PNG", STEPS if grey16 else PIXELS)
    return with_png_sums(data[:16] + struct.pack(">2I", width, height) + data[24:])


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join('*' + chr(97 + n) for _ in range(9))}]\n" for n in range(8)
)  # nine to the power of nine entries, if somebody writes them out


# --- messages ---


def _messages() -> dict[str, bytes]:
    """One message of each type, as bytes."""
    found: dict[str, bytes] = {}
    frame, head = TinyScene(frames=2).frame(1), cdr.header(5, "map")
    depth, rgb = np.full((4, 6), 2, np.float32), PIXELS[:4, :6]
    made = {
        "image": cdr.image_message(head, rgb, "rgb8"),
        "yuyv": cdr.image_message(head, rgb[..., :2], "yuyv"),
        "nv12": cdr.image_message(head, PIXELS[:6, :6, 0], "nv12"),
        "bayer": cdr.image_message(head, PIXELS[:6, :6, 0], "bayer_rggb8"),
        "jpeg": cdr.jpeg_message(head, rgb, 90),
        "depth16": cdr.depth_message(head, depth, "16UC1"),
        "depth32": cdr.depth_message(head, depth, "32FC1"),
        "png_depth": _compressed(head, "16UC1; compressedDepth png", bytes(12) + encoded("PNG", STEPS[:4, :6])),
        "rvl_depth": _compressed(
            head, "16UC1; compressedDepth rvl", bytes(12) + struct.pack("<4I", 4, 2, 0x10707070, 7)
        ),
        "labels": cdr.image_message(head, PIXELS[:4, :6, 0], "mono8"),
        "info": cdr.info_message(head, CAMERA),
        "pose": cdr.pose_message(head, frame.world_from_camera),
        "cloud": cdr.cloud_message(head, cdr.Cloud(np.ones((5, 3), np.float32), PIXELS[0, :5]), np.zeros(5, np.uint8)),
    }
    types = cdr.typestore()
    for name, message in made.items():
        found[f"{name}.{message.__msgtype__.replace('/', '-')}"] = bytes(
            types.serialize_cdr(message, message.__msgtype__)
        )
    return found


def _compressed(head: object, format_text: str, data: bytes) -> object:
    return cdr.make(cdr.JPEG, header=head, format=format_text, data=np.frombuffer(data, np.uint8))


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


# --- bags ---


def _bags() -> dict[str, bytes]:
    from rosbags.convert.converter import migrate_message
    from rosbags.rosbag1 import Writer as Ros1Writer
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    raws = [raw._replace(data=bytes(raw.data)) for raw in SceneRecording(TinyScene(frames=3)).raw()]
    kinds = {
        "plain.mcap": (StoragePlugin.MCAP, None),
        "chunks.mcap": (StoragePlugin.MCAP, CompressionMode.STORAGE),
        "packed.mcap.zstd": (StoragePlugin.MCAP, CompressionMode.FILE),
        "plain.db3": (StoragePlugin.SQLITE3, None),
        "messages.db3": (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    }
    found: dict[str, bytes] = {}
    with TemporaryDirectory() as folder:
        for name, (plugin, mode) in kinds.items():
            writer = Writer(Path(folder, name), version=9, storage_plugin=plugin)
            if mode is not None:
                writer.set_compression(mode, CompressionFormat.ZSTD)
            with writer:
                there: dict[str, Any] = {}
                for raw in raws:
                    if raw.topic not in there:
                        there[raw.topic] = writer.add_connection(raw.topic, raw.msgtype, typestore=cdr.typestore())
                    writer.write(there[raw.topic], raw.stamp_ns, raw.data)
            (file,) = (each for each in Path(folder, name).iterdir() if each.name != "metadata.yaml")
            found[name] = file.read_bytes()
        old, new, cache, there = get_typestore(Stores.ROS1_NOETIC), cdr.typestore(), {}, {}
        old.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
        with Ros1Writer(Path(folder, "ros1.bag")) as bag:
            for raw in raws:
                if raw.topic not in there:
                    there[raw.topic] = bag.add_connection(raw.topic, raw.msgtype, typestore=old)
                message = new.deserialize_cdr(raw.data, raw.msgtype)
                message = migrate_message(new, old, raw.msgtype, raw.msgtype, cache, message)
                bag.write(there[raw.topic], raw.stamp_ns, old.serialize_ros1(message, raw.msgtype))
        found["ros1.bag"] = Path(folder, "ros1.bag").read_bytes()
    return found


def _read_bag(path: Path) -> Any:
    from wsss_ros.bags import unpacking

    try:
        return any_of(lambda: list(Bag(path).raw()), lambda: list(BagFrames(path).views()))
    finally:
        unpacking.clear()


# --- files ---


def _sens() -> dict[str, bytes]:
    frames = [(np.eye(4), PIXELS, STEPS)] * 2
    camera = CAMERA.resized(16, 12)
    return {
        f"{color}{depth}.sens": sens_files.recording(camera, camera, frames, color, depth)
        for color, depth in ((sens_files.JPEG, sens_files.ZLIB), (sens_files.RAW, sens_files.RAW))
    }


def _read_sens(path: Path) -> Any:
    reader = SensReader(path)
    return [reader.frame(index) for index in range(len(reader))]


def _rows() -> np.ndarray:
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("label", "i4")]
    return np.array([(0.5 * n, -1.25, 2 * n, 255, n, 51, n) for n in range(4)], kinds)


def _plys() -> dict[str, bytes]:
    faces = "element face 2\nproperty list uchar int vertex_indices"
    styles = ("ascii", "binary_little_endian", "binary_big_endian")
    found = {f"{style}.ply": cloud_writers.ply(_rows(), style) for style in styles}
    inner = struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 1, 2, 3)
    found["lists.ply"] = cloud_writers.ply(_rows(), "binary_little_endian", faces, inner)
    found["words.ply"] = cloud_writers.ply(_rows(), "ascii", faces, b"3 0 1 2\n3 1 2 3\n")
    return found


def _pcds() -> dict[str, bytes]:
    rows = _rows()
    columns = [(name, rows[name]) for name in ("x", "y", "z", "label")]
    return {f"{style}.pcd": cloud_writers.pcd(columns, style) for style in ("ascii", "binary", "binary_compressed")}


def _arrays() -> dict[str, bytes]:
    xyz = np.stack([_rows()[name] for name in "xyz"], 1)
    return {
        "columns.npz": saved(np.savez, xyz=xyz, rgb=PIXELS[0, :4], label=np.arange(4)),
        "packed.npz": saved(np.savez_compressed, points=xyz.astype(np.float32)),
        "rows.npy": saved(np.save, xyz),
        "fields.npy": saved(np.save, _rows()),
    }


_TEXTS = {
    "named.csv": b"x,y,z,red,green,blue,label\n" + b"".join(b"%d.5,2,-1,255,0,%d,3\n" % (n, n) for n in range(6)),
    "plain.xyz": b"".join(b"%d 2.25 -1 255 0 7\n" % n for n in range(6)),
    "counted.pts": b"3\n" + b"1 2 3 -100 255 0 7\n" * 3,
    "comma.txt": "# x; y; z\n1,5;2;3\n2,5;2;4\n".encode("utf-16"),
}
_DEPTHS = {
    "d.png": encoded("PNG", STEPS),
    "d.tiff": encoded("TIFF", STEPS.astype(np.float32)),
    "d.npy": saved(np.save, STEPS),
    "d.npz": saved(np.savez_compressed, depth=STEPS),
    "d.pfm": b"Pf\n4 2\n-1.0\n" + np.ones(8, "<f4").tobytes(),
    "d.pgm": b"P5 4 2 65535\n" + bytes(16),
}
_INTRINSICS = {
    "k.txt": b"525.0 0 319.5\n0 525.0 239.5\n0 0 1\n",
    "six.txt": b"640 480 525.0 525.0 319.5 239.5",
    "four.txt": b"525.0 525.0 319.5 239.5",
    "open3d.json": json.dumps(
        {"width": 640, "height": 480, "intrinsic_matrix": [525.0, 0, 0, 0, 525.0, 0, 319.5, 239.5, 1]}
    ).encode(),
    "info.yaml": b"""image_width: 640
image_height: 480
distortion_model: plumb_bob
camera_matrix: {rows: 3, cols: 3, data: [525.0, 0, 319.5, 0, 525.0, 239.5, 0, 0, 1]}
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [525.0, 0, 319.5, 0, 0, 525.0, 239.5, 0, 0, 0, 1, 0]}
""",
    "cv.yml": b"%YAML:1.0\nCamera.fx: 525.0\nCamera.fy: 525.0\nCamera.cx: 319.5\nCamera.cy: 239.5\nCamera.k1: 0.1\n",
}
_TRAJECTORIES = {
    "tum.txt": b"# time tx ty tz qx qy qz qw\n" + b"".join(b"%d.5 0.1 2 3 0 0 0 1\n" % n for n in range(4)),
    "kitti.txt": b"1 0 0 0.5 0 1 0 2 0 0 1 3\n" * 3,
    "redwood.log": b"0 0 1\n1 0 0 0.5\n0 1 0 2\n0 0 1 3\n0 0 0 1\n" * 2,
}
_TAGS = {
    "tags.csv": b"frame,tags,unknown\na,\"chair, sofa\",bed\nb,,\nc,'-table',\n",
    "matrix.csv": b"image;chair;sofa\na.jpg;1;0\nb.jpg;0;1\n",
    "one.tsv": b"image\tclass\na\tchair\na\tsofa\n",
    "tags.json": json.dumps({"scene": ["chair"], "frames": {"a": ["sofa"]}, "complete": True}).encode(),
    "list.json": json.dumps([{"frame": "a", "tags": ["sofa"]}, {"frame": "b", "tags": []}]).encode(),
    "coco.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 1, "category_id": 2}],
            "categories": [{"id": 2, "name": "chair"}],
        }
    ).encode(),
    "cvat.xml": b"<annotations><meta><task><labels><label><name>chair</name></label></labels></task></meta>"
    b'<image name="a.jpg"><box label="chair"/></image></annotations>',
    "voc.xml": b"<annotation><filename>a.jpg</filename><object><name>chair</name></object></annotation>",
    "labelme.json": json.dumps({"shapes": [{"label": "chair"}], "flags": {"sofa": True}, "imagePath": "a"}).encode(),
}


def _read_tags(path: Path) -> Any:
    if path.name.startswith("labelme"):
        content = annotations.labelme([path])
    elif path.name.startswith("voc"):
        content = annotations.voc([path])
    else:
        content = tag_files.read_file(path)
    content = tag_files.fitted(str(path), content, SPACE)
    return [SPACE.tag_list(row.names) for row in content.rows]


def _read_yolo(path: Path) -> Any:
    return annotations.yolo(path.parent.parent if path.parent.name == "labels" else path.parent)


def _read_scene(path: Path) -> Any:
    scene = open_scene(path.parent, SPACE)
    return [scene.frame(index) for index in range(len(scene))]


def _scene_files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    matrix = np.eye(4).tolist()
    nerf = {"fl_x": 20.0, "fl_y": 20.0, "cx": 8.0, "cy": 6.0, "w": 16, "h": 12}
    frames = [{"file_path": f"{n}.png", "depth_file_path": f"d{n}.png", "transform_matrix": matrix} for n in range(2)]
    pictures = {f"{n}.png": encoded("PNG") for n in range(2)} | {f"d{n}.png": encoded("PNG", STEPS) for n in range(2)}
    return {"transforms.json": json.dumps({**nerf, "frames": frames}).encode()}, pictures


def _tum_files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    rows = {"rgb.txt": b"1.0 0.png\n2.0 1.png\n", "depth.txt": b"1.0 d0.png\n2.0 d1.png\n"}
    rows["groundtruth.txt"] = b"1.0 0 0 0 0 0 0 1\n2.0 0 0 1 0 0 0 1\n"
    return rows, _scene_files()[1] | rows | {"intrinsics.txt": b"20 20 8 6"}


def _checkpoints() -> dict[str, bytes]:
    from support.tiny_networks import save_network

    with TemporaryDirectory() as folder:
        path = Path(folder, "image.safetensors")
        save_network(path, "image", SPACE, 0)
        return {path.name: path.read_bytes()}


def with_description(data: bytes, change: Callable[[dict], None]) -> bytes:
    """A checkpoint whose description of the network is changed."""
    (size,) = struct.unpack_from("<Q", data)
    head = json.loads(data[8 : 8 + size])
    description = json.loads(head["__metadata__"]["wsss_ros"])
    change(description)
    head["__metadata__"]["wsss_ros"] = json.dumps(description)
    packed = json.dumps(head).encode()
    return struct.pack("<Q", len(packed)) + packed + data[8 + size :]


# --- the tag page ---


def _requests() -> dict[str, bytes]:
    """Requests; HOST stands for the address of the server."""
    body = json.dumps({"about": "scene", "names": ["chair", "-sofa"], "stamp": ""}).encode()
    head = b"POST %s HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nContent-Type: application/json\r\n"
    posted = b"Content-Length: %d\r\n\r\n%s"
    command = b'{"command": "train"}'
    return {
        "page": b"GET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "image": b"GET /image.jpg?source=color HTTP/1.1\r\nHost: HOST\r\nIf-None-Match: 3\r\n\r\n",
        "status": b"GET /status HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "tags": head % b"/tags" + posted % (len(body), body),
        "command": head % b"/command" + posted % (len(command), command),
    }


_site = cache(lambda: Site(SPACE))


def _ask(path: Path) -> Any:
    """Send a request, end sending, and read the whole answer; a refusal is a BadInput."""
    site = _site()
    with site.client() as client:
        client.settimeout(20)
        with suppress(ConnectionError):  # the server may close before it has read everything
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


def _label_images() -> dict[str, bytes]:
    ids = (PIXELS[..., 0] % 20).astype(np.uint8)
    palette = Image.fromarray(ids).convert("P")
    file = io.BytesIO()
    palette.save(file, "PNG")
    return {
        "ids.png": encoded("PNG", ids),
        "wide.png": encoded("PNG", ids.astype(np.uint16)),
        "palette.png": file.getvalue(),
        "ids.npy": saved(np.save, ids.astype(np.int64)),
    }


def _obj() -> dict[str, bytes]:
    return {
        "a.obj": b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
        b"usemtl m\nf 1/1 2/2 3/3\nf -3 -2 -1\n",
        "a.mtl": b"newmtl m\nKd 0.5 0.25 1\nmap_Kd a.png\n",
    }


def _glb(node: dict | None = None) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        surface = {"points": np.eye(3), "triangles": [[0, 1, 2]], "uv": np.eye(3)[:, :2], "image": "a.png", "nyu40": 5}
        return {"a.glb": write_glb(Path(folder, "a.glb"), [surface], node).read_bytes()}


def _read_obj(path: Path) -> Any:
    def read(name: str) -> bytes:
        try:
            return (path.parent / name).read_bytes()
        except (OSError, ValueError) as error:
            raise KeyError(name) from error

    return read_obj(read, "a.obj", str(path))


def readers() -> list[Reader]:
    """All readers. Seeds of some are made by writers, so this takes a second."""
    nerf, pictures = _scene_files()
    tum_rows, tum_all = _tum_files()
    networks = _checkpoints()
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
        Reader("messages", _messages(), _read_message, share=12),
        Reader("bags", _bags(), _read_bag, share=3),
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
        Reader(".sens", _sens(), _read_sens),
        Reader("PLY", _plys(), open_cloud, share=6),
        Reader("PCD", _pcds(), open_cloud, share=6),
        Reader(
            "npz, npy clouds",
            _arrays(),
            open_cloud,
            hard={
                "rows.npy:claims": npy_claiming((1 << 40, 3)),
                "packed.npz:claims": npz_of(xyz=npy_claiming((9, 1 << 40))),
            },
        ),
        Reader("text clouds", _TEXTS, open_cloud),
        Reader("S3DIS rows", {"points.txt": _TEXTS["plain.xyz"]}, read_points, share=2),
        Reader(
            "colour images",
            images,
            lambda path: any_of(lambda: image_size(path), lambda: read_rgb(path)),
            hard={"a.jpg:large": jpeg, "a.png:large": png, "a.png:15000": large_png(15_000, 15_000)},
            share=6,
        ),
        Reader(
            "depth images",
            _DEPTHS,
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
            _label_images(),
            lambda path: LabelImages(path.parent, SPACE, "index").read(path.stem),
            hard={"ids.npy:claims": npy_claiming((1 << 20, 1 << 20))},
        ),
        Reader(
            "intrinsics",
            _INTRINSICS,
            lambda path: read_intrinsics_file(path).camera(640, 480),
            hard={"open3d.json:deep": deep, "info.yaml:deep": b"a: " + deep, "cv.yml:bomb": bomb},
            share=6,
        ),
        Reader("trajectories", _TRAJECTORIES, lambda path: read_trajectory(path).by_key),
        Reader("tags and annotations", _TAGS, _read_tags, hard={"tags.json:deep": deep}, share=8),
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
        Reader("OBJ models", _obj(), _read_obj, others=_obj() | {"a.png": encoded("PNG")}, share=2),
        Reader(
            "GLB models",
            _glb(),
            read_glb,
            others={"a.png": encoded("PNG")},
            hard={"a.glb:circle": _glb(node={"children": [0, 0]})["a.glb"]},
            share=2,
        ),
        Reader(
            "checkpoints",
            networks,
            checkpoint.load,
            hard={"image.safetensors:wide": wide, "image.safetensors:deep": struct.pack("<Q", len(deep)) + deep},
            share=2,
        ),
        Reader("tag page", _requests(), _ask, share=3),
    ]
