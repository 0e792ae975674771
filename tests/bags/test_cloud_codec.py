"""Clouds out of the messages of both families and into them, against readers that take one value at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import conversions as reference
from support.messages import FAMILIES, of_family

from wsss_ros.bags import cdr, cloud_codec
from wsss_ros.bags.cloud_codec import FLOAT32, FLOAT64, INT16, INT32, NUMBERS, UINT8, UINT16, UINT32
from wsss_ros.types import BadInput, Cloud

STAMP_NS = 12_000_000_345


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


def cloud(fields: list[tuple[str, int, int]], rows: np.ndarray, width: int, step: int, big_endian: bool) -> object:
    """A PointCloud2 with (name, offset, datatype) of each field and these bytes, row by row."""
    return cdr.make(
        cdr.CLOUD,
        header=cdr.header(STAMP_NS, "map"),
        height=len(rows),
        width=width,
        fields=[
            cdr.make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=datatype, count=1)
            for name, offset, datatype in fields
        ],
        is_bigendian=big_endian,
        point_step=step,
        row_step=rows.shape[1],
        data=rows.reshape(-1),
        is_dense=False,
    )


# --- labels ----------------------------------------------------------------------------------------


@st.composite
def label_clouds(draw) -> tuple[object, np.ndarray]:
    """A cloud with labels of any width and byte order, padded, and the labels it holds."""
    datatype, kind = draw(st.sampled_from([(UINT8, "u1"), (UINT16, "u2"), (UINT32, "u4")]))
    big, height, width = draw(st.booleans()), draw(st.integers(1, 3)), draw(st.integers(0, 5))
    order = ">" if big else "<"
    dtype = np.dtype({"names": ["x", "y", "z", "label"], "formats": [order + "f4"] * 3 + [order + kind],
                      "offsets": [0, 4, 8, 13], "itemsize": 19})  # fmt: skip
    table = np.zeros((height, width), dtype)
    values = np.random.default_rng(width).choice([0, 7, 254, 255, 300, 70_000], (height, width))
    table["label"] = values % 2 ** (8 * int(kind[1]))
    rows = np.hstack([table.view(np.uint8).reshape(height, 19 * width), np.full((height, 3), 9, np.uint8)])
    fields = [("x", 0, FLOAT32), ("y", 4, FLOAT32), ("z", 8, FLOAT32), ("label", 13, datatype)]
    return cloud(fields, rows, width, 19, big), table["label"].ravel()


@pytest.mark.parametrize("family", FAMILIES)
@given(case=label_clouds())
def test_labels_of_clouds_of_any_layout(family, case):
    message, labels = case
    expected = [label if label <= 255 else 254 for label in labels.tolist()]
    assert cloud_codec.cloud_to_labels(of_family(message, family)).tolist() == expected


def test_clouds_without_usable_labels_say_so():
    message = cdr.cloud_message(cdr.header(0, "map"), Cloud(np.zeros((2, 3), np.float32)))
    with pytest.raises(BadInput, match="cloud labels: no field 'label'"):
        cloud_codec.cloud_to_labels(message)
    beyond = cdr.make("sensor_msgs/msg/PointField", name="label", offset=10, datatype=UINT32, count=1)
    message.fields.append(beyond)  # reaches beyond the point
    with pytest.raises(BadInput, match="inside the point"):
        cloud_codec.cloud_to_labels(message)


# --- positions and colours -------------------------------------------------------------------------


def odd_cloud(seed, height, width, xyz_type, color, big_endian, order, gap, row_gap, bad) -> object:
    """A cloud of any layout: fields in any order with gaps between, padding after points and rows."""
    random = np.random.default_rng(seed)
    kinds = {"x": xyz_type, "y": xyz_type, "z": xyz_type, "intensity": FLOAT32}
    if color:
        kinds[color[0]] = color[1]
    names = list(np.array(list(kinds))[random.permutation(len(kinds))] if order else kinds)
    fields, offset = [], gap
    for name in names:
        fields.append((str(name), offset, kinds[name]))
        offset += (8 if kinds[name] == FLOAT64 else 4) + gap
    rows = np.frombuffer(random.bytes((offset * width + row_gap) * height), np.uint8).copy().reshape(height, -1)
    byte_order = ">" if big_endian else "<"
    for name, start, _ in fields:
        if name in "xyz":
            kind = byte_order + ("f8" if xyz_type == FLOAT64 else "f4")
            values = random.normal(size=(height, width)).astype(kind)
            values[random.random((height, width)) < bad] = np.nan
            for row in range(height):
                for column in range(width):
                    raw = values[row, column : column + 1].view(np.uint8)  # a single value would lose its byte order
                    rows[row, column * offset + start :][: len(raw)] = raw
    return cloud(fields, rows, width, offset, big_endian)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 4),
    width=st.integers(1, 6),
    xyz_type=st.sampled_from([FLOAT32, FLOAT64]),
    color=st.sampled_from([None, ("rgb", FLOAT32), ("rgb", UINT32), ("rgba", INT32), ("rgba", UINT32)]),
    big_endian=st.booleans(),
    order=st.booleans(),
    gap=st.integers(0, 3),
    row_gap=st.integers(0, 5),
    bad=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_clouds_of_any_layout_are_read(family, **layout):
    message = of_family(odd_cloud(**layout), family)
    read = cloud_codec.read_cloud(message)
    xyz, rgb = reference.finite_xyz_rgb(message)
    np.testing.assert_array_equal(read.cloud.xyz, xyz)
    assert read.cloud.xyz.dtype == xyz.dtype == (np.float64 if layout["xyz_type"] == FLOAT64 else np.float32)
    if layout["color"] is None:
        assert read.cloud.rgb is None
    else:
        np.testing.assert_array_equal(read.cloud.rgb, rgb)
    assert read.cloud.stamp_ns == STAMP_NS
    count = layout["height"] * layout["width"]
    assert read.dropped == count - len(xyz)
    kept = read.gather(np.arange(count))
    back = read.spread(kept, -1)
    assert (back[kept] == kept).all()
    assert (back == -1).sum() == read.dropped


@pytest.mark.parametrize("count", [0, 1, 16_384, 16_385])
@pytest.mark.parametrize("colored", [True, False])
@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_written_is_what_is_read(count, colored, labelled, family):
    random = np.random.default_rng(count)
    xyz = random.normal(size=(count, 3)).astype(np.float32)
    rgb = random.integers(0, 256, (count, 3), dtype=np.uint8) if colored else None
    labels = random.integers(0, 256, count, dtype=np.uint8) if labelled else None
    message = of_family(cdr.cloud_message(cdr.header(STAMP_NS, "map"), Cloud(xyz, rgb), labels), family)
    read = cloud_codec.read_cloud(message)
    np.testing.assert_array_equal(read.cloud.xyz, xyz)
    assert (read.cloud.rgb is None) == (rgb is None)
    if colored:
        np.testing.assert_array_equal(read.cloud.rgb, rgb)
    if labelled:
        np.testing.assert_array_equal(cloud_codec.cloud_to_labels(message), labels)
    assert len(message.data) == message.row_step == message.point_step * count == 4 * (3 + colored + labelled) * count


def test_huge_coordinates_are_kept_and_infinite_ones_left_out(family):
    xyz = np.array([[1e30, 0, 0], [np.inf, 0, 0], [0, 1, 2]], np.float32)
    message = cdr.cloud_message(cdr.header(0, "map"), Cloud(xyz))
    read = cloud_codec.read_cloud(of_family(message, family))
    np.testing.assert_array_equal(read.cloud.xyz, xyz[[0, 2]])
    np.testing.assert_array_equal(read.kept, [0, 2])
    assert not message.is_dense
    assert cdr.cloud_message(cdr.header(0, "map"), Cloud(xyz[[0, 2]])).is_dense


@pytest.mark.parametrize("datatype, kind", [*enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"), start=1)])
def test_positions_of_any_number_are_read_where_they_are_allowed(datatype, kind, family):
    rows = np.arange(6, dtype=">" + kind).reshape(2, 3)
    size = rows.itemsize
    fields = [(name, size * place, datatype) for place, name in enumerate("xyz")]
    message = of_family(cloud(fields, rows.view(np.uint8).reshape(1, -1), 2, 3 * size, big_endian=True), family)
    read = cloud_codec.read_cloud(message, NUMBERS)
    np.testing.assert_array_equal(read.cloud.xyz, np.arange(6).reshape(2, 3))


def spoilt_cloud(change) -> object:
    xyz, rgb = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.uint8)
    message = cdr.cloud_message(cdr.header(0, "map"), Cloud(xyz, rgb))
    change(message)
    return message


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda m: m.fields.pop(2), "cloud fields: got x, y, rgb"),
        (lambda m: m.fields.clear(), "cloud fields: got none"),
        (lambda m: setattr(m, "data", m.data[:-1]), "cloud size: 63 bytes"),
        (lambda m: setattr(m, "height", 2), "cloud size"),
        (lambda m: setattr(m.fields[0], "datatype", INT16), "cloud field types: 'x' of datatype 3"),
        (lambda m: setattr(m.fields[3], "datatype", FLOAT64), "cloud field types: 'rgb'"),
        (lambda m: setattr(m.fields[2], "offset", 13), "cloud field types: 'z' of datatype 7 at byte 13 of 16"),
    ],
)
def test_clouds_that_cannot_be_read_say_why(change, text, family):
    with pytest.raises(BadInput, match=text):
        cloud_codec.read_cloud(of_family(spoilt_cloud(change), family))


def test_an_empty_cloud_is_read_as_empty(family):
    message = cdr.cloud_message(cdr.header(0, "map"), Cloud(np.zeros((0, 3), np.float32)))
    message.height = 0
    assert len(cloud_codec.read_cloud(of_family(message, family)).cloud) == 0
    message.fields.append(cdr.make("sensor_msgs/msg/PointField", name="label", offset=0, datatype=UINT32, count=1))
    assert len(cloud_codec.cloud_to_labels(of_family(message, family))) == 0


# --- what drivers send -----------------------------------------------------------------------------

UTM = np.array([500_000.0, 4_649_776.0, 213.0])


def driver_cloud(columns: dict[str, np.ndarray], height: int = 1, row_step: int | None = None) -> object:
    """A little-endian cloud without gaps with these fields, ``height`` rows of them."""
    codes = {"u1": UINT8, "u2": UINT16, "u4": UINT32, "f4": FLOAT32, "f8": FLOAT64}
    table = np.empty(len(columns["x"]), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values
    fields = [(name, table.dtype.fields[name][1], codes[table.dtype[name].str[1:]]) for name in columns]
    rows = table.view(np.uint8).reshape(height, -1)
    message = cloud(fields, rows, len(table) // height, table.dtype.itemsize, big_endian=False)
    message.row_step = rows.shape[1] if row_step is None else row_step
    return message


def positions(xyz: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xyz", xyz.T, strict=True))


@pytest.mark.parametrize("colored", [True, False])
def test_float64_far_from_the_origin_comes_back_to_the_digit(colored, family, labels):
    """500 km from the origin float32 has steps of 3 cm. Labelled points have positions of the type that came."""
    random = np.random.default_rng(0)
    xyz = random.uniform(-3, 3, (50, 3)) + UTM
    rgb = random.integers(0, 256, (50, 3), dtype=np.uint8) if colored else None
    message = of_family(cdr.cloud_message(cdr.header(STAMP_NS, "map"), Cloud(xyz, rgb)), family)
    read = cloud_codec.read_cloud(message)
    np.testing.assert_array_equal(read.cloud.xyz, xyz)
    assert (read.cloud.rgb is None) == (rgb is None) and message.point_step % 8 == 0
    if colored:
        np.testing.assert_array_equal(read.cloud.rgb, rgb)
    found, sure = random.integers(0, 20, 50).astype(np.uint8), random.random(50).astype(np.float32)
    points = np.zeros(50, cloud_codec.semantic_point(read))
    cloud_codec.write_semantic_points(points, read, found, sure, labels)
    for axis, name in enumerate("xyz"):
        np.testing.assert_array_equal(points[name], xyz[:, axis])
    np.testing.assert_array_equal(points["label"], found)
    np.testing.assert_array_equal(points["confidence"], sure)
    red, green, blue = labels.colorize(found).T.astype(np.uint32)
    np.testing.assert_array_equal(points["rgb"], red << 16 | green << 8 | blue)
    types = {field.name: field.datatype for field in cloud_codec.point_fields(points.dtype)}
    assert types == dict(x=FLOAT64, y=FLOAT64, z=FLOAT64, rgb=FLOAT32, label=UINT32, confidence=FLOAT32)
    assert cloud_codec.coarse_positions(read) == ""


def test_float32_far_from_the_origin_says_how_coarse_it_is():
    far = cloud_codec.read_cloud(driver_cloud(positions((np.zeros((2, 3)) + UTM).astype(np.float32))))
    assert "positions 4,649,776 m from the origin are rounded to 0.5 m" in cloud_codec.coarse_positions(far)
    near = cloud_codec.read_cloud(driver_cloud(positions(np.full((2, 3), 900, np.float32))))
    assert cloud_codec.coarse_positions(near) == ""


@pytest.mark.parametrize("names", [("r", "g", "b"), ("red", "green", "blue")])
@pytest.mark.parametrize("kind", ["bytes", "unit floats", "floats to 255"])
def test_colours_in_three_fields(names, kind, family):
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (6, 3), dtype=np.uint8)
    written = {"bytes": rgb, "unit floats": (rgb / 255).astype(np.float32), "floats to 255": rgb.astype(np.float32)}
    columns = positions(random.normal(size=(6, 3)).astype(np.float32)) | {"intensity": np.zeros(6, np.float32)}
    columns |= dict(zip(names, written[kind].T, strict=True))
    read = cloud_codec.read_cloud(of_family(driver_cloud(columns), family))
    np.testing.assert_array_equal(read.cloud.rgb, rgb)
    assert read.cloud.rgb.dtype == np.uint8


def test_a_cloud_with_intensity_alone_has_no_colour(family):
    columns = positions(np.ones((4, 3), np.float32)) | {"intensity": np.ones(4, np.float32), "g": np.ones(4, np.uint8)}
    assert cloud_codec.read_cloud(of_family(driver_cloud(columns), family)).cloud.rgb is None


def test_rays_without_a_return_are_left_out_of_organised_clouds(family):
    """NaN, or (0, 0, 0) where drivers write that; in an unorganised cloud a single (0, 0, 0) may be a point."""
    xyz = np.arange(18, dtype=np.float32).reshape(6, 3)
    xyz[4] = np.nan  # xyz[0, 0] is 0, but that point is not at the origin
    xyz[5] = 0
    organised = cloud_codec.read_cloud(of_family(driver_cloud(positions(xyz), height=2), family))
    assert organised.kept.tolist() == [0, 1, 2, 3] and organised.dropped == 2
    assert cloud_codec.read_cloud(driver_cloud(positions(xyz))).kept.tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rays_without_a_return_are_left_out_where_several_points_are_at_the_origin(dtype, family):
    """Livox: one row, with (0, 0, 0) for every ray without a return."""
    xyz = np.arange(1, 25, dtype=dtype).reshape(8, 3)
    xyz[[2, 5, 6]] = 0
    xyz[1, 0] = 0
    read = cloud_codec.read_cloud(of_family(driver_cloud(positions(xyz)), family))
    assert read.kept.tolist() == [0, 1, 3, 4, 7]


@pytest.mark.parametrize("most, expected", [(255, [0, 128, 255]), (65535, [0, 128, 255])])
def test_colours_of_16_bits(most, expected, family):
    """As CloudCompare and LAS have them."""
    values = np.array([0, 128 * most // 255, most], np.uint16)
    columns = positions(np.ones((3, 3), np.float32)) | dict.fromkeys("rgb", values)
    read = cloud_codec.read_cloud(of_family(driver_cloud(columns), family))
    assert read.cloud.rgb.dtype == np.uint8 and read.cloud.rgb[:, 1].tolist() == expected


@pytest.mark.parametrize("row_step", [0, 12, 72])
def test_a_row_step_that_is_not_filled_in_follows_from_the_width(row_step, family):
    xyz = np.arange(1, 19, dtype=np.float32).reshape(6, 3)
    message = of_family(driver_cloud(positions(xyz), height=2, row_step=row_step), family)
    np.testing.assert_array_equal(cloud_codec.read_cloud(message).cloud.xyz, xyz)


def test_float64_beyond_float32_is_left_out():
    xyz = np.array([[1.0, 2, 3], [1e300, 0, 0], [np.inf, 0, 0]])
    assert cloud_codec.read_cloud(driver_cloud(positions(xyz))).kept.tolist() == [0]
