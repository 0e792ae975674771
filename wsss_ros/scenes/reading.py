"""How a scene folder is read where its files do not say it: ``Reading``, from arguments and the folder's ``meta.yaml``.

A YAML file with the key ``folder`` and these keys stands for the folder, wherever a command takes a scene folder. It
serves folders that cannot be written to.
"""

from collections.abc import Collection
from os.path import isfile  # no error for a name that no file can have
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from wsss_ros.config import Config, build
from wsss_ros.files import decode, expanded, parse_yaml
from wsss_ros.labels.ids import LabelIds
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

META = "meta.yaml"
SCENE_FILES = (".yaml", ".yml")


class Reading(Config):
    """What the files of a scene folder leave open. An empty value: as the layout has it."""

    layout: str = Field("", description="Name of the layout; empty: found by the files of the folder.")
    depth_scale: float | None = Field(
        None, gt=0, description="Depth values per metre: 1000 for millimetres, 5000 for TUM; empty: the layout's."
    )
    intrinsics: str = Field(
        "", description="'fx,fy,cx,cy' in pixels, or a file with them; empty: the file that the folder has."
    )
    size: tuple[int, int] | None = Field(
        None, description="Width and height of the images that the intrinsics are for; empty: as the file says."
    )
    rectified: bool = Field(False, description="The images have no lens distortion, whatever the intrinsics file says.")
    poses: Literal["", "world_from_camera", "camera_from_world"] = Field(
        "", description="Direction of the poses in the files; empty: the layout's, for plain folders world_from_camera."
    )
    axes: Literal["", "opencv", "opengl"] = Field(
        "", description="Camera axes: opencv (x right, y down, z forward), opengl (x right, y up, z back)."
    )
    pose_scale: float = Field(1.0, gt=0, description="Metres per unit of the translations of the poses.")
    rate_hz: float = Field(30.0, gt=0, description="Frames a second of numbered files, which have no times.")
    unit: str = Field("auto", description="Unit of a cloud file: m, cm, mm, km, ft, in; auto: metres, if that can be.")
    columns: str = Field("", description="Columns of a cloud as text or array: 'x y z r g b label', - for others.")
    label_ids: LabelIds = Field(
        "dataset", description="What numbers of true labels mean: dataset, index, index1, nyu40, color or auto."
    )
    max_dt_s: float = Field(0.02, gt=0, le=1, description="Longest time between a colour image and its depth or pose.")

    @field_validator("intrinsics", mode="before")
    @classmethod
    def _numbers_as_text(cls, value: Any) -> Any:
        """A list of numbers is the same as their text."""
        flat = (
            [number for row in value for number in (row if isinstance(row, list) else [row])]
            if isinstance(value, list | tuple)
            else None
        )
        return value if flat is None else ",".join(map(str, flat))

    def over(self, base: "Reading") -> "Reading":
        """These values where they were given, else those of ``base``."""
        return base.model_copy(update={key: getattr(self, key) for key in self.model_fields_set})


def given_reading(
    layout: str, depth_scale: float, intrinsics: str, unit: str = "", columns: str = "", label_ids: str = ""
) -> Reading | None:
    """The reading of these arguments of a command or node, of which empty ones and 0 are not given; None without any.

    Raises BadInput for a value that cannot be.
    """
    given = {"layout": layout, "depth_scale": depth_scale, "intrinsics": intrinsics}
    given |= {"unit": unit, "columns": columns, "label_ids": label_ids}
    values = {key: value for key, value in given.items() if value}
    return build(Reading, values, "options of scene folders") if values else None


def refuse_others(reading: Reading | None, takes: Collection[str], where: Path, why: str) -> None:
    """Raise BadInput for given values that the files at ``where`` do not take, with the reason; it takes ``takes``."""
    fields = Reading.model_fields
    given = sorted(reading.model_fields_set - {"layout", *takes}) if reading is not None else []
    values = {name: getattr(reading, name) for name in given if getattr(reading, name) != fields[name].default}
    if values:
        listed = " and ".join(f"{name} {value}" for name, value in values.items())
        raise BadInput(f"{where}: {listed} cannot be given: {why}")


def reading_of(folder: Path, given: Reading | None = None) -> Reading:
    """The reading of a folder: ``given``, completed from ``meta.yaml`` in the folder.

    A file named by ``intrinsics`` in ``meta.yaml`` is relative to the folder. Raises BadInput for a broken file.
    """
    path = folder / META
    noted = _absolute(build(Reading, _mapping(path), str(path)), folder) if path.is_file() else Reading()
    return noted if given is None else given.over(noted)


def scene_file(path: Path) -> tuple[Path, Reading] | None:
    """The folder and the reading that a YAML file with the key ``folder`` stands for; None for any other path.

    Raises BadInput for a YAML file that cannot be read or has other keys.
    """
    if path.suffix.lower() not in SCENE_FILES or not path.is_file():
        return None
    values = _mapping(path)
    if not isinstance(values.get("folder"), str):
        raise BadInput(f"{path}: no key 'folder'; expected the path of a scene folder, and how it is read")
    folder = path.parent / expanded(values.pop("folder"))
    return folder, _absolute(build(Reading, values, str(path)), path.parent)


def _absolute(reading: Reading, base: Path) -> Reading:
    """The reading with the path of its intrinsics file, if it names one, below ``base``."""
    path = base / expanded(reading.intrinsics) if reading.intrinsics else None
    return reading.model_copy(update={"intrinsics": str(path)}) if path is not None and isfile(path) else reading


def _mapping(path: Path) -> dict:
    text = decode(read_bytes(path, "'key: value' lines"))
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise BadInput(f"{path}: not YAML ({error}); expected 'key: value' lines") from error
    if not isinstance(values, dict | None):
        raise BadInput(f"{path}: holds a {type(values).__name__}; expected 'key: value' lines")
    return values or {}
