"""Which topic of a bag has the images, the depth, the calibration or the poses of a camera.

A topic is found by its name; where no name fits, by its messages, if only one topic fits.
"""

from collections.abc import Sequence
from typing import Any

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.cdr import IMAGE, INFO, JPEG, ODOMETRY, POSE, POSE_WITH_COVARIANCE, typestore
from wsss_ros.bags.codec import color_to_rgb
from wsss_ros.types import BadInput

COMPRESSED, COMPRESSED_DEPTH = "/compressed", "/compressedDepth"  # the ends that image_transport gives such topics
IMAGE_TYPES, POSE_TYPES = (IMAGE, JPEG), (POSE, POSE_WITH_COVARIANCE, ODOMETRY)
# The option that names each part of a view, and the types of its messages.
_PARTS = {
    "images": ("--color", IMAGE_TYPES),
    "depth": ("--depth-topic", IMAGE_TYPES),
    "camera_info": ("--camera-info-topic", (INFO,)),
    "poses": ("--pose-topic", POSE_TYPES),
}
_RESULTS = ("ground_truth", "semantic")  # parts of the names of what our nodes publish
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "64FC1")
# Parts of the names of depth that common drivers have aligned with colour.
_ALIGNED = ("aligned_depth_to_color", "depth_to_rgb", "depth_to_color", "depth_registered")


def of_types(bag: Bag, types: Sequence[str]) -> list[str]:
    """The topics of these message types, without results and ground truth."""
    there = [topic.name for topic in bag.topics if topic.msgtype in types]
    return [name for name in there if not any(part in name for part in _RESULTS)]


def check_named(bag: Bag, name: str, types: Sequence[str]) -> None:
    """Raises BadInput, which lists the topics of these types, unless the topic that the user names is among them."""
    there = [topic.name for topic in bag.topics if topic.msgtype in types]
    if name not in there:
        kinds = " or ".join(types)
        raise BadInput(f"{bag.path}: no topic '{name}' of {kinds}; there are {', '.join(there) or 'none'}")


def only(bag: Bag, types: Sequence[str], ends: Sequence[str]) -> str:
    """The first topic that ends in ``ends``, else the only one of these types; empty without one."""
    plain = of_types(bag, types)
    if fits := ending(plain, ends):
        return fits[0]
    return plain[0] if len(plain) == 1 else ""


def camera(bag: Bag, types: Sequence[str], ends: Sequence[str]) -> str:
    """The topic of the colour images: one that ends in ``ends``, else the only one; empty where there is none.

    Raw images go before compressed ones. Images in an encoding of depth are no colour. Raises BadInput, which lists the
    cameras, where several fit.
    """
    plain = of_types(bag, types)
    fits = ending(plain, ends)
    if not fits:
        fits = sorted((name for name in plain if "depth" not in name.lower()), key=len)  # raw before compressed
        fits = fits if len(_bases(fits)) == 1 else [name for name in fits if not has_depth(bag, name)]
    if len(_bases(fits)) > 1:
        raise BadInput(f"{bag.path}: images of several cameras: {', '.join(_bases(fits))}; name one (--color)")
    return fits[0] if fits else ""


def companion(bag: Bag, types: Sequence[str], ends: Sequence[str], color: str) -> str:
    """The topic that ends in the first of ``ends`` that fits, of the camera with the images ``color``; else empty.

    Of several, it is the one whose name shares most with that of the images.
    """
    plain = of_types(bag, types)
    for end in ends:
        if fits := ending(plain, (end,)):
            return max(fits, key=lambda name: _shared(name, color))
    return ""


def depth(bag: Bag, types: Sequence[str], ends: Sequence[str], color: str) -> str:
    """The topic of the depth images: one that ends in ``ends``, else one with the name that a driver gives it.

    Of several, depth that is aligned with colour goes first, then rectified depth, then that of the same camera. Where
    no name fits, it is the only topic of images in an encoding of depth.
    """
    if found := companion(bag, types, ends, color):
        return found
    named = [name for name in of_types(bag, types) if _is_depth(name)]

    def order(name: str) -> tuple[Any, ...]:
        aligned = any(part in name for part in _ALIGNED)
        return not aligned, "image_rect" not in name, -_shared(name, color), name.endswith(COMPRESSED), len(name)

    if named:
        return min(named, key=order)
    fits = sorted((name for name in of_types(bag, types) if name != color and has_depth(bag, name)), key=len)
    return fits[0] if len(_bases(fits)) == 1 else ""


def camera_info(bag: Bag, images: str, ends: Sequence[str]) -> str:
    """The camera_info of a topic of images: next to it, else one that ends in ``ends`` of the same camera; else empty.

    Where no name fits, it is the only one with the frame_id of the images, else the only one of their size.
    """
    there = of_types(bag, (INFO,))
    next_to = f"{base(images).rpartition('/')[0]}/camera_info"
    if next_to in there:
        return next_to
    if found := companion(bag, (INFO,), ends, images):
        return found
    image = first_message(bag, images) if images and ends else None
    if image is None:
        return ""
    infos = {name: info for name in there if (info := first_message(bag, name)) is not None}
    same_frame = [name for name, info in infos.items() if info.header.frame_id == image.header.frame_id != ""]
    size = _size(image)
    same_size = [name for name, info in infos.items() if (info.width, info.height) == size]
    return next((fits[0] for fits in (same_frame, same_size) if len(fits) == 1), "")


def _size(image: Any) -> tuple[int, int]:
    """Width and height of an image message; 0, 0 where it cannot be read."""
    if hasattr(image, "width"):
        return image.width, image.height
    try:
        height, width = color_to_rgb(image).shape[:2]
    except BadInput:
        return 0, 0
    return width, height


def has_depth(bag: Bag, name: str) -> bool:
    """Whether the first message of a topic of images is in an encoding of depth."""
    message = first_message(bag, name)
    if message is None:
        return False
    if message.__msgtype__ == IMAGE:
        return message.encoding in _DEPTH_ENCODINGS
    return "compressedDepth" in message.format or message.format.startswith(_DEPTH_ENCODINGS)


def first_message(bag: Bag, name: str) -> Any:
    """The first message of a topic, decoded; None without one, or where its type is not known."""
    raw = next(iter(bag.raw({name})), None)
    types = typestore()  # of ROS itself: these topics have no other types
    return None if raw is None or raw.msgtype not in types.types else raw.decoded(types)


def offer(bag: Bag, part: str, color: str) -> str:
    """The topics that could be a part of views (a key of ``_PARTS``), and the option that names it; else what to do.

    ``color`` is the topic of the images.
    """
    option, types = _PARTS[part]
    others = listed(bag, types, but=(color,))
    if others == "none":
        return " (record a topic pose, /tf or odometry)" if part == "poses" else ""
    return f" (if it is one of {others}, name it: {option})"


def listed(bag: Bag, types: Sequence[str], but: Sequence[str] = ()) -> str:
    """The topics of these types, each with its type; ``none`` where there is none. Those in ``but`` are left out."""
    plain = set(of_types(bag, types)) - set(but)
    there = [f"{topic.name} ({topic.msgtype.rpartition('/')[2]})" for topic in bag.topics if topic.name in plain]
    return ", ".join(there) or "none"


def base(name: str) -> str:
    """The name of a topic of images without the end of its transport."""
    return name.removesuffix(COMPRESSED).removesuffix(COMPRESSED_DEPTH)


def _is_depth(name: str) -> bool:
    *space, image = base(name).split("/")
    folder = space[-1] if space else ""
    if "rgb_to_depth" in name or "color_to_depth" in name:
        return False
    return image.startswith("depth") or image.startswith("image") and ("depth" in folder or folder == "stereo")


def ending(names: Sequence[str], ends: Sequence[str]) -> list[str]:
    """The names that end in one of ``ends``, in the order of the ends."""
    return [name for end in ends for name in names if f"/{name}".endswith(f"/{end}")]


def _bases(names: Sequence[str]) -> list[str]:
    """The names without the ends of transports, each once."""
    return list(dict.fromkeys(map(base, names)))


def _shared(name: str, other: str) -> int:
    """The number of parts at the start that two names have in common."""
    same = [one == two for one, two in zip(name.split("/"), other.split("/"), strict=False)]
    return same.index(False) if False in same else len(same)
