"""Camera poses of a bag without a pose topic: the transforms of its /tf and /tf_static, at the stamps of its images."""

import logging
from typing import Any

import numpy as np
from jaxtyping import Float64
from rosbags.typesys.store import Typestore

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.cdr import TF
from wsss_ros.bags.codec import stamp_ns, transform_parts
from wsss_ros.geometry.transforms import WORLD_FRAMES, TransformBuffer
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

DYNAMIC, STATIC = "tf", "tf_static"


class BagPoses:
    """The poses of a bag's cameras from TF. They hold at exactly the time that is asked for, interpolated.

    All transforms of the bag are read at once. Of topics of several robots (``/one/tf``, ``/two/tf``), those in the
    namespace of ``color``, the topic of the images, are taken, else ``/tf``. ``fixed_frame`` is the world frame; empty
    takes map, else odom. A transform that cannot be used is left out with a warning. Raises BadInput naming the topics
    where none fits.
    """

    def __init__(self, bag: Bag, types: Typestore, color: str = "", fixed_frame: str = "") -> None:
        self._bag, self._fixed_frame, self.where = bag, fixed_frame, "in TF"
        self.transforms = TransformBuffer(cache_s=None)
        static = _topics(bag, color)
        refused: list[str] = []
        for raw in bag.raw(static):
            message = raw.decoded(types)
            for transform in message.transforms:
                self._add(transform, static[raw.topic], refused)
        if refused:
            log.warning("%s: %d transforms are left out: %s", bag.path, len(refused), refused[0])

    def _add(self, stamped: Any, static: bool, refused: list[str]) -> None:
        header, parts = stamped.header, transform_parts(stamped.transform)
        try:
            self.transforms.add(header.frame_id, stamped.child_frame_id, stamp_ns(header), *parts, static=static)
        except BadInput as error:
            refused.append(str(error))

    def pose(self, header: Any) -> Float64[np.ndarray, "4 4"]:
        """``world_from_camera`` of an image, from the frame and the stamp of its header.

        Raises LookupFailed where TF does not have it, and BadInput where the header has no frame.
        """
        if not header.frame_id:
            raise BadInput("frame_id of the image is empty: TF needs the frame of the camera")
        return self.transforms.lookup(self.fixed_frame(header.frame_id), header.frame_id, stamp_ns(header))

    def has(self, camera: str) -> bool:
        """Whether TF has poses of this frame in the world, at whatever time."""
        worlds = (self._fixed_frame,) if self._fixed_frame else WORLD_FRAMES
        return any(self.transforms.connected(world, camera) for world in worlds)

    def fixed_frame(self, camera: str) -> str:
        """The world frame of the poses: the one that was asked for, else map, else odom with a warning."""
        if not self._fixed_frame:
            joined = [name for name in WORLD_FRAMES if self.transforms.connected(name, camera)]
            self._fixed_frame = joined[0] if joined else WORLD_FRAMES[0]
            if joined and joined[0] != WORLD_FRAMES[0]:
                text = "%s: TF has no path from '%s' to '%s'; poses are in '%s', which drifts (--fixed-frame)"
                log.warning(text, self._bag.path, WORLD_FRAMES[0], camera, joined[0])
        return self._fixed_frame


def has_transforms(bag: Bag) -> bool:
    """Whether a bag has transforms, from which poses can come."""
    return any(topic.msgtype == TF for topic in bag.topics)


def _topics(bag: Bag, color: str) -> dict[str, bool]:
    """The topics of TF, and whether each is static: those in the innermost namespace of the images that has one."""
    there = {topic.name for topic in bag.topics if topic.msgtype == TF}
    names, space = [], color
    while space:
        space = space.rpartition("/")[0]
        names.append(space)
    chosen = {}
    for name, static in ((DYNAMIC, False), (STATIC, True)):
        if found := [full for space in names or [""] if (full := f"{space}/{name}") in there]:
            chosen[found[0]] = static
    if not chosen:
        listed = ", ".join(sorted(there)) or "none"
        raise BadInput(f"{bag.path}: no topic /tf in a namespace of '{color}'; of its type there are {listed}")
    return chosen
