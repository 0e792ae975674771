"""What the viewer shows: a labelled cloud, the camera with its picture, the path of the camera, and the panel."""

import contextlib
import io
import logging
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from wsss_ros.geometry import matrix_to_quaternion
from wsss_ros.labels import LabelSpace
from wsss_ros.types import Camera
from wsss_ros.viewer.panel import Panel
from wsss_ros.viewer.points import ShownPoints, Trajectory, colored, counts, thinned
from wsss_ros.viewer.server import close_server, open_server

MAX_SIDE = 480  # pixels of the picture of the camera; larger pictures are reduced by a whole factor
FAR_M = 1000.0  # positions farther from the origin of the map than this are shown relative to another origin
FRUSTUM_M = 0.35
_PATH_COLOR, _CAMERA_COLOR = (235, 95, 20), (30, 30, 30)
_RENDER_S = 20.0  # a browser that has not answered after this time does not get its picture

_log = logging.getLogger("wsss_ros.viewer")


@dataclass(frozen=True)
class ShownView:
    """One picture and the camera that took it; pictures without a camera or a pose are shown in the panel alone."""

    rgb: UInt8[np.ndarray, "H W 3"]
    camera: Camera | None = None
    world_from_camera: Float64[np.ndarray, "4 4"] | None = None
    stamp_ns: int = 0


class Stage:
    """A page with a 3D scene in which z points up. All methods may be called from any thread.

    Raises BadInput where the page cannot be served (see ``open_server``).
    """

    def __init__(self, host: str, port: int, space: LabelSpace, max_points: int = 300_000, title: str = "") -> None:
        self._space, self._max_points = space, max_points
        self._server, self.address = open_server(host, port, title or "wsss")
        self._server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="medium")
        self._lock = threading.RLock()
        self._points: ShownPoints | None = None
        self._cloud: Any = None
        self._camera: Any = None
        self._path: Any = None
        self._pose: np.ndarray | None = None
        self._fov = 1.0
        self._origin: tuple[float, float, float] | None = None
        self.trajectory = Trajectory()
        self.panel = Panel(self._server.gui, space, self._draw_points)
        self.panel.on_point_size(self._resize_points)
        self.panel.path.on_update(lambda _: self._show_path())
        self.panel.look.on_click(lambda event: self._look_from_camera(event.client))
        self.panel.save.on_click(lambda event: self._save_picture(event.client))

    @property
    def watchers(self) -> int:
        """Number of browsers that look at the page."""
        return len(self._server.get_clients())

    def close(self) -> None:
        """Stop serving."""
        close_server(self._server)

    # --- what is shown ---

    def show_cloud(self, points: ShownPoints, modes: tuple[str, ...] = (), space: LabelSpace | None = None) -> None:
        """Replace the cloud. Of more than ``max_points`` points, every n-th is shown; counts are those of all.

        ``modes`` are the colour modes to offer; by default those that the points have values for. ``space`` has the
        classes of the labels; None: those of the cloud before.
        """
        with self._lock:
            if space is not None and space != self._space:
                self._space = space
                self.panel.show_classes(space)
            origin = self._common_origin(np.array(points.origin) + (points.xyz[0] if len(points) else 0))
            self._points = _moved(thinned(points, self._max_points), origin)
            self.panel.show_modes(modes or points.modes)
            if len(points):
                low, high = (
                    float(bound) + points.origin[2] for bound in (points.xyz[:, 2].min(), points.xyz[:, 2].max())
                )
                self.panel.show_heights(low, high)
            self.panel.show_counts(counts(points.labels, len(self._space)))
            self._draw_points()

    def show_view(self, view: ShownView) -> None:
        """Replace the picture, and the camera where its pose is known."""
        step = -(-max(view.rgb.shape[:2]) // MAX_SIDE)
        small = np.ascontiguousarray(view.rgb[::step, ::step])
        with self._lock, self._server.atomic():
            self.panel.show_image(small, f"camera at {view.stamp_ns / 1e9:.2f} s")
            if view.camera is not None and view.world_from_camera is not None:
                self._place_camera(small, view.camera, view.world_from_camera)

    def add_pose(self, world_from_camera: Float64[np.ndarray, "4 4"]) -> None:
        """Add a position to the path; ``show_path`` draws it."""
        with self._lock:
            self.trajectory.add(world_from_camera[:3, 3])

    def show_path(self) -> None:
        """Draw the path so far."""
        with self._lock:
            if not self.trajectory.positions:
                return
            segments = self.trajectory.segments(self._common_origin(self.trajectory.positions[0]))
            if self._path is not None and len(segments) == len(self._path.points):
                return
            colors = np.full(segments.shape, _PATH_COLOR, np.uint8)
            self._path = self._server.scene.add_line_segments(
                "/path", segments, colors, thickness=2.0, thickness_units="screen", visible=self.panel.path.value
            )

    def clear_path(self) -> None:
        """Forget the path: the clock has jumped back, or another recording begins."""
        with self._lock:
            self.trajectory.clear()
            if self._path is not None:
                self._path.remove()
                self._path = None

    def picture(self, client: Any, width: int = 1600, height: int = 1000) -> UInt8[np.ndarray, "h w 3"]:
        """What one browser shows in 3D, as a picture. Raises RuntimeError or TimeoutError where it does not answer."""
        width, height = _fit(client.camera.image_width or width, client.camera.image_height or height)
        rgba = client.get_render(height, width, transport_format="png", timeout=_RENDER_S)
        share = rgba[..., 3:] / 255.0
        return (rgba[..., :3] * share + 255 * (1 - share)).round().astype(np.uint8)

    # --- points ---

    def _draw_points(self) -> None:
        with self._lock:
            if self._points is None:
                return
            panel = self.panel
            xyz, colors = colored(self._points, panel.mode, self._space, panel.shown, panel.below_m)
            with self._server.atomic():
                if self._cloud is None:
                    self._cloud = self._server.scene.add_point_cloud(
                        "/cloud",
                        xyz,
                        colors,
                        point_size=panel.point_size_m,
                        precision="float32",
                        point_shading="gradient",
                    )
                    self._look_at_all(xyz)
                else:
                    self._cloud.points, self._cloud.colors = xyz, colors

    def _resize_points(self, size_m: float) -> None:
        with self._lock:
            if self._cloud is not None:
                self._cloud.point_size = size_m

    def _look_at_all(self, xyz: np.ndarray) -> None:
        """Look at the first cloud from obliquely above; afterwards the view belongs to the person in front of it."""
        if not len(xyz):
            return
        low, high = np.percentile(xyz, [2, 98], axis=0)
        middle, size = (low + high) / 2, max(1.0, float(np.linalg.norm(high - low)))
        position = middle + size * np.array([-0.4, -0.4, 0.5])
        cameras = [self._server.initial_camera, *(client.camera for client in self._server.get_clients().values())]
        for camera in cameras:
            camera.position, camera.look_at = position, middle

    # --- the camera ---

    def _place_camera(self, rgb: np.ndarray, camera: Camera, pose: np.ndarray) -> None:
        origin = self._common_origin(pose[:3, 3])
        position, wxyz = pose[:3, 3] - origin, _wxyz(pose)
        self._pose, self._fov = pose, 2 * float(np.arctan(camera.height / (2 * camera.fy)))
        if self._camera is None or abs(self._camera.fov - self._fov) > 1e-6:
            self._camera = self._server.scene.add_camera_frustum(
                "/camera",
                fov=self._fov,
                aspect=camera.width / camera.height,
                scale=FRUSTUM_M,
                thickness=2.0,
                thickness_units="screen",
                color=_CAMERA_COLOR,
                image=rgb,
                format="jpeg",
                wxyz=wxyz,
                position=position,
                visible=self.panel.path.value,
            )
        else:
            self._camera.image = rgb
            self._camera.wxyz, self._camera.position = wxyz, position

    def _show_path(self) -> None:
        with self._lock:
            for node in (self._camera, self._path):
                if node is not None:
                    node.visible = self.panel.path.value

    def _look_from_camera(self, client: Any) -> None:
        with self._lock:
            pose, origin = self._pose, self._origin
        if pose is None or client is None:
            return
        position = pose[:3, 3] - np.array(origin)
        with client.atomic():
            client.camera.fov = self._fov
            client.camera.wxyz, client.camera.position = _wxyz(pose), position
            client.camera.look_at = position + pose[:3, 2]

    # --- pictures ---

    def _save_picture(self, client: Any) -> None:
        if client is None:
            return
        stamp_ns = self._points.stamp_ns if self._points is not None else 0
        try:
            picture = self.picture(client)
        except (RuntimeError, TimeoutError) as error:
            _log.warning("viewer: no picture: %s; keep the page in front and try again", error)
            return
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "png")
        name = f"wsss_{stamp_ns / 1e9:.3f}.png"
        with contextlib.suppress(RuntimeError):  # the browser has left in the meantime
            client.send_file_download(name, file.getvalue(), save_immediately=True)

    def _common_origin(self, position: np.ndarray) -> tuple[float, float, float]:
        """The origin of what is drawn: that of the map, unless the first position is far from it."""
        if self._origin is None:
            x, y, z = map(float, np.round(position) if np.abs(position).max() > FAR_M else np.zeros(3))
            self._origin = x, y, z
        return self._origin


def _moved(points: ShownPoints, origin: tuple[float, float, float]) -> ShownPoints:
    """The same points relative to another origin."""
    if points.origin == origin:
        return points
    shift = np.array(points.origin) - np.array(origin)
    rest = {name: value for name, value in vars(points).items() if name not in ("xyz", "origin")}
    return ShownPoints(xyz=(points.xyz + shift).astype(np.float32), origin=origin, **rest)


def _wxyz(pose: np.ndarray) -> np.ndarray:
    x, y, z, w = matrix_to_quaternion(pose[:3, :3])
    return np.array([w, x, y, z])


def _fit(width: int, height: int, most: int = 2400) -> tuple[int, int]:
    scale = min(1.0, most / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
