"""Files as the package wrote them before the second network kind was called cloud: then its name was point."""

import hashlib
import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file


def write_earlier_checkpoint(source: Path, target: Path) -> None:
    """A checkpoint of a cloud network with the kind 'point'."""
    with safe_open(source, framework="pt") as file:
        description = json.loads(file.metadata()["wsss_ros"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a file, not a dict
    assert description["network"]["kind"] == "cloud"
    description["network"]["kind"] = "point"
    save_file(tensors, target, {"wsss_ros": json.dumps(description, sort_keys=True)})


def write_earlier_version(folder: Path, name: str, image: Path, cloud: Path, **about) -> Path:
    """A version folder of the online learner, with ``point.safetensors`` and the digests of both files."""
    version = folder / name
    version.mkdir(parents=True)
    (version / "image.safetensors").write_bytes(image.read_bytes())
    write_earlier_checkpoint(cloud, version / "point.safetensors")
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(version.iterdir())}
    (version / "about.json").write_text(json.dumps({"version": name, **about, "files": files}, indent=1))
    for path in version.iterdir():
        path.chmod(0o444)
    version.chmod(0o555)
    return version
