"""The cameras of a bag: calibrations by time, and depth on the pixels of the colour image."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from rosbags.typesys.store import Typestore

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.codec import calibration_from_info, depth_to_m, stamp_ns
from wsss_ros.bags.topics import first_message
from wsss_ros.geometry import depth_on_color
from wsss_ros.geometry.camera_models import (
    CalibrationHistory,
    camera_of,
    findings,
    frame_finding,
    is_rectified_topic,
)
from wsss_ros.scenes.depth_files import implausible
from wsss_ros.types import BadInput, Camera

_PROBED = 3  # depth images that tell a wrong unit
log = logging.getLogger("wsss_ros")


class BagCamera:
    """The camera of the images of one topic, at any time of the bag.

    Its camera_info may be a stream, published once or latched, and its stamps may be wrong (``CalibrationHistory``).
    All of it is read at once. What is odd about it is logged once. Raises BadInput for a calibration that cannot be
    used.
    """

    def __init__(self, bag: Bag, types: Typestore, images: str, info: str) -> None:
        self._history, self._rectified, frame = CalibrationHistory(), is_rectified_topic(images), ""
        for raw in bag.raw({info}):
            message = raw.decoded(types)
            frame, calibration = message.header.frame_id, calibration_from_info(message)
            if self._history.add(stamp_ns(message.header), calibration):
                for finding in findings(calibration, self._rectified):
                    log.warning("%s, %s: %s", bag.path, info, finding)
        image = first_message(bag, images)
        if image is not None and (finding := frame_finding(frame, image.header.frame_id)):
            log.warning("%s, %s: %s", bag.path, info, finding)

    def at(self, stamp: int, image: np.ndarray) -> Camera | None:
        """The camera of an image with this stamp; None without a camera_info.

        Raises BadInput where its calibration is of another size.
        """
        calibration = self._history.at(stamp)
        if calibration is None:
            return None
        return camera_of(calibration, self._rectified, (image.shape[1], image.shape[0]))


class BagDepth:
    """Puts the depth images of a bag on the pixels of its colour images.

    ``color_from_depth(color frame, depth frame, stamp)`` is the transform from TF, None where TF does not have it; it
    is called where the two are in different frames.
    """

    def __init__(
        self, camera: BagCamera, color_from_depth: Callable[[str, str, int], Float64[np.ndarray, "4 4"] | None]
    ) -> None:
        self._camera, self._color_from_depth = camera, color_from_depth

    def on_color(
        self, depth_m: Float32[np.ndarray, "H W"], header: Any, color_camera: Camera, color_frame: str
    ) -> Float32[np.ndarray, "h w"]:
        """Depth on the pixels of the colour image. Raises BadInput as ``depth_on_color`` does."""
        stamp, frames = stamp_ns(header), (header.frame_id, color_frame)
        pose = None if frames[0] == frames[1] else self._color_from_depth(color_frame, header.frame_id, stamp)
        return depth_on_color(depth_m, self._camera.at(stamp, depth_m), color_camera, frames, pose)


class DepthReader:
    """Reads depth images in metres, and says once that no room has the depth of the first ones.

    ``per_metre`` are their values per metre, None: as the encoding says. ``report`` takes the text.
    """

    def __init__(self, per_metre: float | None, report: Callable[[str], None]) -> None:
        self._per_metre, self._report = per_metre, report
        self._faults: list[str] = []  # of the first images, empty for plausible depth

    def __call__(self, message: Any) -> Float32[np.ndarray, "H W"]:
        """Depth in metres. Raises BadInput as ``depth_to_m`` does."""
        depth_m = depth_to_m(message, as_on_disk=True, per_metre=self._per_metre or 0.0)
        if len(self._faults) < _PROBED:
            unit = f"the unit of {getattr(message, 'encoding', '') or message.format}"
            read_with = f"{self._per_metre:g} values per metre" if self._per_metre else unit
            self._faults.append(implausible(depth_m, read_with))
            if len(self._faults) == _PROBED:
                self.finish()
        return depth_m

    def finish(self) -> None:
        """Report, if all images so far are implausible."""
        if self._faults and all(self._faults):
            self._report(self._faults[0])


def check_found(camera: Camera | None, info: str) -> Camera:
    """The camera. Raises BadInput where the bag has the topic, but no message of it."""
    if camera is None:
        raise BadInput(f"no camera_info on '{info}'; record it with the images")
    return camera
