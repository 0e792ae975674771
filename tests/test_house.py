"""The rules of the house: imports go down the list of docs/tour.md, only nodes/ knows ROS, no room grows too large."""

import ast
import re
from pathlib import Path

import pytest
from draw_house import imports, modules, rooms
from support.paths import ROOT

PACKAGE = ROOT / "wsss_ros"
TOP_MODULES = {
    *("types", "config", "files", "device", "sync"),
    *("cam", "losses", "inference", "node_set", "node_processes"),
}
OF_METHODS = {"methods.linked", "methods.method", "methods.teacher_labels"}  # what methods have in common
LONGEST_FILE, LARGEST_SHARE = 400, 0.20
ROS = {
    "rclpy",
    "message_filters",
    "sensor_msgs_py",
    "tf_transformations",
    "cv_bridge",
    "launch",
    "launch_ros",
    "ament_index_python",
    "tf2_ros",
}


def listed(page: Path) -> list[list[str]]:
    """The rooms in each line of the first list of rooms in a page. The names end where two spaces follow."""
    block = re.search(r"^```\n(?:wsss_ros/\n)?(\s*types .*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [re.split(r"\s{2,}|\(", line.strip())[0] for line in block[1].splitlines()]
    return [line.replace("/", "").split() for line in lines]


MODULES = modules(PACKAGE)
FLOORS = listed(ROOT / "docs/tour.md")
FLOOR = {room: height for height, names in enumerate(FLOORS) for room in names}


def ours(tree: ast.AST) -> set[str]:
    return imports(tree, set(MODULES)) & set(MODULES)


def faults(module: str, tree: ast.AST) -> list[str]:
    """What a module imports against the rules. Modules of the first line may import each other."""
    room = module.split(".")[0]
    found = []
    for target in sorted(ours(tree)):
        below = target.split(".")[0]
        if FLOOR[below] >= max(FLOOR[room], 1) and below != room:
            found.append(f"{module} imports {target}, which is not on a floor below")
        own = target.startswith(".".join(module.split(".")[:2]) + ".")  # another file of the same method
        if module.startswith("methods.") and below == "methods" and target not in OF_METHODS and not own:
            found.append(f"{module} imports {target}; methods share only {', '.join(sorted(OF_METHODS))}")
    for name in sorted({name.split(".")[0] for name in imports(tree, set(MODULES))}):
        if room != "nodes" and (name in ROS or name.endswith(("_msgs", "_srvs"))):
            found.append(f"{module} imports {name}; only nodes/ knows ROS")
    return found


def test_the_tour_lists_every_room_once():
    names = [name for names in FLOORS for name in names]
    assert len(names) == len(set(names))
    assert set(names) == {module.split(".")[0] for module in MODULES}


def test_the_tour_lists_rooms_in_the_order_of_the_design():
    page = ROOT.parent / "shared/DESIGN.md"
    if not page.is_file():
        pytest.skip(f"no design to compare with: {page} is absent")
    design = [name for names in listed(page) for name in names if name in FLOOR]
    assert len(design) > 20
    assert [FLOOR[name] for name in design] == sorted(FLOOR[name] for name in design)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    assert not faults(module, MODULES[module])


def test_no_cycles():
    left = {module: ours(tree) - {module} for module, tree in MODULES.items()}
    while free := [module for module, needs in left.items() if not needs & set(left)]:
        for module in free:
            del left[module]
    assert not left, f"these import each other in a circle: {sorted(left)}"


def test_no_file_is_long():
    lines = {file.relative_to(ROOT): len(file.read_text().splitlines()) for file in PACKAGE.rglob("*.py")}
    assert not {str(file): count for file, count in lines.items() if count > LONGEST_FILE}


def test_no_two_test_files_have_one_name():
    """Files are imported by their names; pytest reads only the first of two in one process."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []


def test_few_modules_are_at_the_top():
    assert {file.stem for file in PACKAGE.glob("*.py")} - {"__init__"} == TOP_MODULES
    assert len(TOP_MODULES) <= 12


def test_no_room_is_most_of_the_house():
    found = rooms(ROOT)
    total = sum(room.lines for room in found)
    assert max(room.lines for room in found) / total <= LARGEST_SHARE


@pytest.mark.parametrize(
    "module, source, fault",
    [
        ("types", "from wsss_ros.cam import seed_labels", "types imports cam"),
        ("geometry.poses", "from wsss_ros.scenes import images", "geometry.poses imports scenes"),
        ("cam", "def f():\n    import wsss_ros.losses", "cam imports losses"),
        ("cli.up", "from wsss_ros.nodes import replay", "cli.up imports nodes"),
        ("methods.joint", "from wsss_ros.methods.classify import Classify", "methods share only methods.linked"),
        ("bags.bag", "from sensor_msgs.msg import Image", "only nodes/ knows ROS"),
        ("inference", "import rclpy", "only nodes/ knows ROS"),
    ],
)
def test_faults_are_seen(module, source, fault):
    assert any(fault in found for found in faults(module, ast.parse(source)))


def test_what_is_allowed():
    source = "import rclpy\nfrom sensor_msgs.msg import Image\nfrom wsss_ros import inference\n"
    source += "from wsss_ros.nodes import node"
    assert not faults("nodes.replay", ast.parse(source))
