"""What files and folders of other programs are that no reader takes, and how to convert them."""

from pathlib import Path

from wsss_ros.files import visible

_MESH = "a mesh: write points of its surface as PLY, with CloudCompare, MeshLab or Open3D"
_VIDEO = "a video: write its frames as pictures, with 'ffmpeg -i VIDEO FOLDER/%06d.jpg'"
_ARCHIVE = "an archive: unpack it"
_WORKBOOK = "a workbook: save its sheet as CSV UTF-8"
_TORCH = "a file of PyTorch: weights of wsss_ros are .safetensors, clouds .npz"
_CAMERA_FILE = "a format of cameras, which is not read: convert it to JPEG"
_FILES = {
    **dict.fromkeys((".obj", ".glb", ".gltf", ".stl", ".off", ".fbx", ".usd", ".usdz", ".dae"), _MESH),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), _VIDEO),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".r3d"), _ARCHIVE),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), _WORKBOOK),
    **dict.fromkeys((".pth", ".pt", ".ckpt"), _TORCH),
    **dict.fromkeys((".heic", ".heif", ".jxl", ".jp2", ".gif"), _CAMERA_FILE),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf"), _CAMERA_FILE),
    ".ptx": "a scan of Leica's programs: write it as PLY or LAS, with CloudCompare",
    ".bin": "numbers without a heading: write them as npy (KITTI: np.fromfile(FILE, np.float32).reshape(-1, 4)[:, :3])",
    **dict.fromkeys((".mat", ".h5", ".hdf5"), "arrays of MATLAB or HDF5: write images as PNG, clouds as npz"),
    ".e57": "an E57 scan: write it as PLY or LAS, with CloudCompare",
    ".splat": "splats without a format of their own: export them as PLY",
}
PICTURES_NOT_READ = tuple(suffix for suffix, text in _FILES.items() if text is _CAMERA_FILE)
_SPLITS = ("train", "valid", "val", "test")


def advice(path: Path) -> str:
    """What a path is that cannot be read, and what to do with it; empty if that is not known."""
    if path.is_dir():
        return _of_folder(path)
    text = _FILES.get(path.suffix.lower(), "")
    return text or ("the file is empty" if path.is_file() and not path.stat().st_size else "")


def _of_folder(folder: Path) -> str:
    def has(*names: str) -> bool:
        return all((folder / name).exists() for name in names)

    if has("rgb.mp4", "odometry.csv"):
        return "a recording of Stray Scanner, whose colour is a video: convert it to Open3D's layout"
    if has("metadata", "rgbd"):
        return "a recording of Record3D, whose depth is compressed: convert it to one of these layouts"
    if has("keyframes/cameras") or has("cameras", "images", "depth"):
        return "raw data of Polycam: 'ns-process-data polycam --use-depth' of nerfstudio makes transforms.json of it"
    if has("coord.npy"):
        return "a cloud in several arrays: put them into one .npz, as coord, color and label"
    if (splits := [name for name in _SPLITS if (folder / name).is_dir()]) and not has("color"):
        return f"a data set in parts: give one of them, such as {folder / splits[0]}"
    names = [entry for entry in folder.iterdir() if visible(entry) and entry.is_file()]
    known = [entry for entry in names if entry.suffix.lower() in _FILES]
    if known and 2 * len(known) >= len(names):
        return f"{known[0].name} is {_FILES[known[0].suffix.lower()]}"
    return ""
