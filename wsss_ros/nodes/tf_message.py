"""The message type of TF: that of the package tf2_msgs, else one built from geometry_msgs, which rclpy installs.

The wheels of ROS on PyPI have no tf2_msgs. A TFMessage is nothing but a list of TransformStamped. So the structures
that rosidl would compile for it (``rosidl_runtime_c/message_type_support_struct.h``, ``message_type_support.h`` of
``rosidl_typesupport_fastrtps_cpp`` and ``message_introspection.h`` of ``rosidl_typesupport_introspection_c``) are
filled in here, in the layout of ROS 2 Jazzy. rclpy passes messages of such a type as bytes; rosbags decodes them.
"""

import ctypes
from ctypes import c_bool, c_char_p, c_size_t, c_uint8, c_uint32, c_void_p
from functools import lru_cache
from typing import Any

from rclpy.utilities import get_rmw_implementation_identifier

from wsss_ros.bags.cdr import TF, typestore

_DONOR = "geometry_msgs__msg__TransformStamped"
_FAST, _INTROSPECTION = b"rosidl_typesupport_fastrtps_c", b"rosidl_typesupport_introspection_c"
_ROS_TYPE_MESSAGE = 18
MISSING = (
    "TF cannot be read: the package tf2_msgs is not installed; install it (apt install ros-jazzy-tf2-msgs), or publish "
    "poses on the topic 'pose'"
)


class _TypeSupport(ctypes.Structure):
    _fields_ = [
        *(("identifier", c_char_p), ("data", c_void_p), ("func", c_void_p), ("hash", c_void_p)),
        *(("description", c_void_p), ("sources", c_void_p)),
    ]


class _Callbacks(ctypes.Structure):
    _fields_ = [
        *(("namespace", c_char_p), ("name", c_char_p), ("serialize", c_void_p), ("deserialize", c_void_p)),
        *(("size", c_void_p), ("max_size", c_void_p), ("key", c_void_p)),
    ]


class _Member(ctypes.Structure):
    _fields_ = [
        *(("name", c_char_p), ("type_id", c_uint8), ("string_bound", c_size_t), ("type", c_void_p)),
        *(("is_key", c_bool), ("is_array", c_bool), ("array_size", c_size_t), ("is_bounded", c_bool)),
        *(("offset", c_uint32), ("default", c_void_p), ("functions", c_void_p * 6)),
    ]


class _Members(ctypes.Structure):
    _fields_ = [
        *(("namespace", c_char_p), ("name", c_char_p), ("count", c_uint32), ("size", c_size_t)),
        *(("has_key", c_bool), ("members", ctypes.POINTER(_Member)), ("init", c_void_p), ("fini", c_void_p)),
    ]


class _Hash(ctypes.Structure):
    _fields_ = [("version", c_uint8), ("value", c_uint8 * 32)]


@lru_cache(maxsize=1)
def message_class() -> type | None:
    """The class to subscribe to TF with; None where neither tf2_msgs nor the wheels of ROS 2 Jazzy are installed."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return _built()
    return TFMessage


def decode(message: Any) -> Any:
    """A message with ``transforms``: what came itself, or decoded from the bytes of the class that is built here."""
    return typestore().deserialize_cdr(message, TF) if isinstance(message, bytes) else message


def _built() -> type | None:
    try:
        return _class_of(_type_support())
    except (OSError, AttributeError, ImportError, ValueError):  # other libraries than those of the wheels
        return None


def _class_of(type_support: int) -> type:
    """A class with the attributes that rclpy takes from the classes of messages; ``raw``: its messages are bytes."""
    from geometry_msgs.msg import TransformStamped

    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, [c_void_p, c_char_p, c_void_p]
    donor = type(TransformStamped)
    functions = ("_CREATE_ROS_MESSAGE", "_CONVERT_FROM_PY", "_CONVERT_TO_PY", "_DESTROY_ROS_MESSAGE")
    attributes = {name: getattr(donor, name) for name in functions}
    meta = type("Metaclass_TFMessage", (type,), attributes | {"_TYPE_SUPPORT": capsule(type_support, None, None)})
    return meta("TFMessage", (), {"raw": True})


_kept: list[Any] = []  # what the C structures point to: they live as long as the process


def _type_support() -> int:
    """The address of the structures. Raises ValueError where those of geometry_msgs are not as expected."""
    from geometry_msgs.msg import TransformStamped

    if get_rmw_implementation_identifier() != "rmw_fastrtps_cpp":
        raise ValueError("only the libraries of rmw_fastrtps_cpp are known")
    type(TransformStamped).__import_type_support__()  # loads the libraries
    fast, introspection = _donor(_FAST), _donor(_INTROSPECTION)
    supports = {
        _FAST: _TypeSupport(_FAST, _address(_callbacks(fast))),
        _INTROSPECTION: _TypeSupport(_INTROSPECTION, _address(_members(introspection))),
    }
    functions = _functions(supports)
    for support in supports.values():
        support.func, support.hash = (ctypes.cast(one, c_void_p).value for one in functions)
        support.description, support.sources = fast.description, fast.sources  # of the service of the node only
    _kept.extend((supports, functions))
    return ctypes.addressof(supports[_FAST])


def _address(structure: ctypes.Structure) -> int:
    _kept.append(structure)
    return ctypes.addressof(structure)


def _donor(identifier: bytes) -> _TypeSupport:
    """The type support of TransformStamped."""
    name = identifier.decode()
    get = getattr(ctypes.CDLL(f"libgeometry_msgs__{name}.so"), f"{name}__get_message_type_support_handle__{_DONOR}")
    get.restype = ctypes.POINTER(_TypeSupport)
    return get().contents


def _callbacks(donor: _TypeSupport) -> _Callbacks:
    """The name of the type. Its functions are never called: messages are passed on as bytes."""
    given = ctypes.cast(donor.data, ctypes.POINTER(_Callbacks)).contents
    if (given.namespace, given.name) != (b"geometry_msgs::msg", b"TransformStamped"):
        raise ValueError("another layout of message_type_support.h")
    functions = (given.serialize, given.deserialize, given.size, given.max_size)
    return _Callbacks(b"tf2_msgs::msg", b"TFMessage", *functions)


def _members(donor: _TypeSupport) -> _Members:
    """The one field, ``transforms``, from which Fast DDS makes its own description of the type."""
    given = ctypes.cast(donor.data, ctypes.POINTER(_Members)).contents
    if (given.namespace, given.name, given.count) != (b"geometry_msgs__msg", b"TransformStamped", 3):
        raise ValueError("another layout of message_introspection.h")
    if [given.members[i].name for i in range(3)] != [b"header", b"child_frame_id", b"transform"]:
        raise ValueError("another layout of message_introspection.h")
    transforms = _Member(b"transforms", _ROS_TYPE_MESSAGE, type=_address(donor), is_array=True)
    _kept.append(transforms)
    size = 3 * ctypes.sizeof(c_size_t)  # a sequence of C: pointer, size, capacity
    return _Members(b"tf2_msgs__msg", b"TFMessage", 1, size, False, ctypes.pointer(transforms), given.init, given.fini)


def _functions(supports: dict[bytes, _TypeSupport]) -> tuple[Any, Any]:
    """The functions of a type support: another one by its identifier, and the hash of the type."""
    digest = bytes.fromhex(typestore().hash_rihs01(TF).removeprefix("RIHS01_"))
    type_hash = _address(_Hash(1, (c_uint8 * 32)(*digest)))
    find = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_char_p)
    tell = ctypes.CFUNCTYPE(c_void_p, c_void_p)
    return (
        find(lambda _, identifier: ctypes.addressof(supports[identifier]) if identifier in supports else None),
        tell(lambda _: type_hash),
    )
