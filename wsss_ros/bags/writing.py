"""Writing a scene as a rosbag2 that ``ros2 bag play`` can play, without ROS.

A name that ends in .mcap or .db3 means one file; any other name means rosbag2's folder with metadata.yaml. A bag is
written into ``NAME.partial`` and is renamed only when it is complete.
"""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from wsss_ros.bags.bag import PARTIAL, SUFFIXES
from wsss_ros.bags.cdr import typestore
from wsss_ros.bags.recording import BagConfig, SceneRecording, Topic
from wsss_ros.bags.scene_sequence import SceneSequence
from wsss_ros.files import check_writable, not_written, size_of, sync, sync_all
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")

FOREVER = QosTime(9223372036, 854775807)


def write_bag(
    scene: Scene | list[Scene],
    path: str | Path,
    config: BagConfig | None = None,
    storage: Literal["mcap", "sqlite3"] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ``scene`` as the bag ``path`` and return its path; a list of scenes becomes one bag (``SceneSequence``).

    ``progress(frames written, frames)`` is called after each frame. Raises BadInput when ``path`` exists (without
    ``overwrite``), the scene cannot be recorded or the disk is full; the messages written until then stay in
    ``NAME.partial``.
    """
    path = Path(path)
    plugin = _storage(path, storage)
    _check_target(path, overwrite)
    config = config or BagConfig()
    recording = SceneSequence(scene, config) if isinstance(scene, list) else SceneRecording(scene, config)
    check_writable(path.parent)
    partial = clear_partial(path)
    folder = partial / (path.stem if path.suffix in SUFFIXES else path.name)
    try:
        _write_messages(recording, folder, plugin, progress)
        _publish(folder, path)
    except (OSError, sqlite3.Error) as error:
        kept = f"the incomplete bag stays in {partial}"
        if isinstance(error, OSError):
            raise BadInput(str(not_written(path, error, kept, size_of(partial)))) from error
        raise BadInput(f"{path}: cannot be written ({error}); free disk space or give another path; {kept}") from error
    except BaseException:
        log.warning("%s is not complete; the messages written until now stay in %s", path, partial)
        raise
    shutil.rmtree(partial)
    return path


def clear_partial(path: Path) -> Path:
    """The folder in which the bag ``path`` is written until it is complete; an older one is deleted."""
    partial = path.with_name(path.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    return partial


def _write_messages(
    recording: SceneRecording | SceneSequence, folder: Path, storage: str, progress: Callable[[int, int], None] | None
) -> None:
    with Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections = {topic.name: connect(writer, topic) for topic in recording.topics}
        views, before = 0, None
        for raw in recording.raw():
            if progress and raw.stamp_ns != before:
                progress(views, len(recording))
                views, before = views + 1, raw.stamp_ns
            writer.write(connections[raw.topic], raw.stamp_ns, raw.data)
        if progress:
            progress(views, len(recording))


def connect(writer: Writer, topic: Topic) -> Connection:
    """Add a topic with its offered quality of service to a bag under construction."""
    return writer.add_connection(
        topic.name, topic.msgtype, typestore=typestore(), offered_qos_profiles=[_offered_qos(topic)]
    )


def _offered_qos(topic: Topic) -> Qos:
    return Qos(
        QosHistory.KEEP_LAST,
        topic.depth,
        QosReliability.RELIABLE if topic.reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if topic.latched else QosDurability.VOLATILE,
        FOREVER,
        FOREVER,
        QosLiveliness.AUTOMATIC,
        FOREVER,
        False,
    )


def _storage(path: Path, storage: str | None) -> str:
    by_name = SUFFIXES.get(path.suffix)
    if storage and by_name and storage != by_name:
        suffix = next(suffix for suffix, kind in SUFFIXES.items() if kind == storage)
        raise BadInput(f"{path}: its suffix is that of {by_name}, not of {storage}; name it *{suffix} or give a folder")
    return storage or by_name or "mcap"


def _check_target(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise BadInput(f"{path} exists already; choose another name or overwrite it (wsss bag --overwrite)")
    if path.is_dir() and not (path / "metadata.yaml").exists():
        raise BadInput(f"{path} is a folder but not a bag; it is not overwritten; choose another name")


def _publish(folder: Path, path: Path) -> None:
    """Rename the complete bag to ``path``, after all its data is on disk."""
    single = path.suffix in SUFFIXES
    complete = folder / f"{folder.name}{path.suffix}" if single else folder
    sync_all(folder)
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(complete, path)
    sync(path.parent)
