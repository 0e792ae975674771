"""Layout ``7scenes``: sequences of Microsoft's 7-Scenes: ``seq-01/frame-000000.color.png`` without intrinsics.

https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes: poses are camera to world, depth is in
millimetres, 65535 missing, and the camera is 585 585 320 240 for images of 640x480.
"""

import re
from pathlib import Path

from wsss_ros.scenes import plain_frames
from wsss_ros.scenes.intrinsics import Intrinsics
from wsss_ros.scenes.listing import ANY_INTRINSICS, DEPTH_INTRINSICS, Listing
from wsss_ros.scenes.reading import Reading

EXPECTS = "a folder seq-NN with 'frame-*.color.png' (7-Scenes)"
_PUBLISHED = Intrinsics(585.0, 585.0, 320.0, 240.0, "published for 7-Scenes", (640, 480))


def find(folder: Path) -> str:
    """What of this layout a folder has; empty if it does not fit."""
    named = re.fullmatch(r"seq-\d\d", folder.resolve().name)
    own = any((folder / name).is_file() for name in (*DEPTH_INTRINSICS, *ANY_INTRINSICS))
    return (
        f"{folder.resolve().name}, frame-*.color.png"
        if named and not own and any(folder.glob("frame-*.color.png"))
        else ""
    )


def read(folder: Path, reading: Reading) -> Listing:
    """The frames of a sequence. Raises BadInput naming the file."""
    return plain_frames.read(folder, reading, _PUBLISHED)
