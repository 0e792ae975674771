"""Small valid files and messages of every kind, made in code; and files whose headers claim too much."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from support import cloud_writers, sens_files
from support.glb_files import write_glb
from support.simulated_room import write
from support.tiny_scene import CAMERA, TinyScene, write_scene_folder

from wsss_ros.bags import cdr
from wsss_ros.bags.recording import SceneRecording
from wsss_ros.fusion.map_files import AboutMap, write_map
from wsss_ros.fusion.semantic_map import STATE
from wsss_ros.labels import scannet20

SPACE = scannet20()


PIXELS = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)


STEPS = np.full((12, 16), 1500, np.uint16)


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


def messages_seeds() -> dict[str, bytes]:
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
        "png_depth": compressed(head, "16UC1; compressedDepth png", bytes(12) + encoded("PNG", STEPS[:4, :6])),
        "rvl_depth": compressed(
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


def compressed(head: object, format_text: str, data: bytes) -> object:
    return cdr.make(cdr.JPEG, header=head, format=format_text, data=np.frombuffer(data, np.uint8))


def bags_seeds() -> dict[str, bytes]:
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


def sens_seeds() -> dict[str, bytes]:
    frames = [(np.eye(4), PIXELS, STEPS)] * 2
    camera = CAMERA.resized(16, 12)
    return {
        f"{color}{depth}.sens": sens_files.recording(camera, camera, frames, color, depth)
        for color, depth in ((sens_files.JPEG, sens_files.ZLIB), (sens_files.RAW, sens_files.RAW))
    }


def point_rows() -> np.ndarray:
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("label", "i4")]
    return np.array([(0.5 * n, -1.25, 2 * n, 255, n, 51, n) for n in range(4)], kinds)


def plys_seeds() -> dict[str, bytes]:
    faces = "element face 2\nproperty list uchar int vertex_indices"
    styles = ("ascii", "binary_little_endian", "binary_big_endian")
    found = {f"{style}.ply": cloud_writers.ply(point_rows(), style) for style in styles}
    inner = struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 1, 2, 3)
    found["lists.ply"] = cloud_writers.ply(point_rows(), "binary_little_endian", faces, inner)
    found["words.ply"] = cloud_writers.ply(point_rows(), "ascii", faces, b"3 0 1 2\n3 1 2 3\n")
    return found


def pcds_seeds() -> dict[str, bytes]:
    rows = point_rows()
    columns = [(name, rows[name]) for name in ("x", "y", "z", "label")]
    return {f"{style}.pcd": cloud_writers.pcd(columns, style) for style in ("ascii", "binary", "binary_compressed")}


def arrays_seeds() -> dict[str, bytes]:
    xyz = np.stack([point_rows()[name] for name in "xyz"], 1)
    return {
        "columns.npz": saved(np.savez, xyz=xyz, rgb=PIXELS[0, :4], label=np.arange(4)),
        "packed.npz": saved(np.savez_compressed, points=xyz.astype(np.float32)),
        "rows.npy": saved(np.save, xyz),
        "fields.npy": saved(np.save, point_rows()),
    }


TEXTS = {
    "named.csv": b"x,y,z,red,green,blue,label\n" + b"".join(b"%d.5,2,-1,255,0,%d,3\n" % (n, n) for n in range(6)),
    "plain.xyz": b"".join(b"%d 2.25 -1 255 0 7\n" % n for n in range(6)),
    "counted.pts": b"3\n" + b"1 2 3 -100 255 0 7\n" * 3,
    "comma.txt": "# x; y; z\n1,5;2;3\n2,5;2;4\n".encode("utf-16"),
}


DEPTHS = {
    "d.png": encoded("PNG", STEPS),
    "d.tiff": encoded("TIFF", STEPS.astype(np.float32)),
    "d.npy": saved(np.save, STEPS),
    "d.npz": saved(np.savez_compressed, depth=STEPS),
    "d.pfm": b"Pf\n4 2\n-1.0\n" + np.ones(8, "<f4").tobytes(),
    "d.pgm": b"P5 4 2 65535\n" + bytes(16),
}


INTRINSICS = {
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


TRAJECTORIES = {
    "tum.txt": b"# time tx ty tz qx qy qz qw\n" + b"".join(b"%d.5 0.1 2 3 0 0 0 1\n" % n for n in range(4)),
    "kitti.txt": b"1 0 0 0.5 0 1 0 2 0 0 1 3\n" * 3,
    "redwood.log": b"0 0 1\n1 0 0 0.5\n0 1 0 2\n0 0 1 3\n0 0 0 1\n" * 2,
}


TAGS = {
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


def scene_files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    matrix = np.eye(4).tolist()
    nerf = {"fl_x": 20.0, "fl_y": 20.0, "cx": 8.0, "cy": 6.0, "w": 16, "h": 12}
    frames = [{"file_path": f"{n}.png", "depth_file_path": f"d{n}.png", "transform_matrix": matrix} for n in range(2)]
    pictures = {f"{n}.png": encoded("PNG") for n in range(2)} | {f"d{n}.png": encoded("PNG", STEPS) for n in range(2)}
    return {"transforms.json": json.dumps({**nerf, "frames": frames}).encode()}, pictures


def layout_seeds(layout: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The texts of a simulated room in a layout, and all of its files, below the folder with the layout's name."""
    with TemporaryDirectory() as place:
        return _texts_and_all(Path(place), write(Path(place), layout))


def tum_files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    rows = {"rgb.txt": b"1.0 0.png\n2.0 1.png\n", "depth.txt": b"1.0 d0.png\n2.0 d1.png\n"}
    rows["groundtruth.txt"] = b"1.0 0 0 0 0 0 0 1\n2.0 0 0 1 0 0 0 1\n"
    return rows, scene_files()[1] | rows | {"intrinsics.txt": b"20 20 8 6"}


def checkpoints_seeds() -> dict[str, bytes]:
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


def requests_seeds() -> dict[str, bytes]:
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


def label_images_seeds() -> dict[str, bytes]:
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


def obj_seeds() -> dict[str, bytes]:
    return {
        "a.obj": b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
        b"usemtl m\nf 1/1 2/2 3/3\nf -3 -2 -1\n",
        "a.mtl": b"newmtl m\nKd 0.5 0.25 1\nmap_Kd a.png\n",
    }


def glb_seeds(node: dict | None = None) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        surface = {"points": np.eye(3), "triangles": [[0, 1, 2]], "uv": np.eye(3)[:, :2], "image": "a.png", "nyu40": 5}
        return {"a.glb": write_glb(Path(folder, "a.glb"), [surface], node).read_bytes()}


def semantic_map_seeds() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "map.npz")
        write_map(path, AboutMap(("wall", "floor"), "map", 0.05), {name: np.zeros((3, 2)) for name in STATE})
        return {path.name: path.read_bytes()}


def scannet_seeds() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The texts of a scan of ScanNet, and all of its files, below the folder scan."""
    with TemporaryDirectory() as place:
        return _texts_and_all(Path(place), write_scene_folder(Path(place, "scan"), SPACE))


def _texts_and_all(place: Path, folder: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    files = {str(path.relative_to(place)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    pictures = (".jpg", ".png", ".ply")
    texts = {name: data for name, data in files.items() if not name.endswith(pictures) and len(data) < 20_000}
    return texts, files
