"""The rules of the house: imports go downwards, and only nodes/ knows ROS."""

import ast

import pytest
from support.paths import ROOT

PACKAGE = ROOT / "wsss_ros"

# DESIGN's list, from the ground up. Within a line no module may import another, but modules of one room may, without
# a cycle. Those of the first line may import each other in the same way.
FLOORS = [
    ["types", "labels", "config", "files", "device", "sync", "processes"],
    ["cam", "losses"],
    ["geometry"],
    ["scenes"],
    ["rooms"],
    ["bags"],
    ["networks"],
    ["samples"],
    ["fusion"],
    ["methods"],
    ["inference"],
    ["evaluation"],
    ["label_files"],
    ["training"],
    ["ablation", "bench"],
    ["online"],
    ["tag_page"],
    ["node_set"],
    ["node_processes"],
    ["nodes", "cli"],
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
ROS = {
    "rclpy",
    "message_filters",
    "sensor_msgs_py",
    "cv_bridge",
    "launch",
    "launch_ros",
    "ament_index_python",
    "tf2_ros",
}

MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(file.read_text())
    for file in sorted(PACKAGE.rglob("*.py"))
    if file != PACKAGE / "__init__.py"
}


def imports(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in the file, functions included; ours without the package's name."""
    found = set()
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            found |= {name.name.removeprefix("wsss_ros.") for name in part.names}
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0, f"line {part.lineno}: a relative import; name the module in full"
            for name in part.names:
                inner = f"{part.module}.{name.name}".removeprefix("wsss_ros.")
                found.add(inner if inner in MODULES else part.module.removeprefix("wsss_ros."))
    return found


def ours(tree: ast.AST) -> set[str]:
    return imports(tree) & set(MODULES)


def faults(module: str, tree: ast.AST) -> list[str]:
    room = module.split(".")[0]
    told = []
    for target in sorted(ours(tree)):
        below = target.split(".")[0]
        if FLOOR[below] >= max(FLOOR[room], 1) and below != room:
            told.append(f"{module} imports {target}, which is not on a floor below")
        if module.startswith("methods.") and below == "methods" and target != "methods.method":
            told.append(f"{module} imports {target}; methods share only methods.method")
    for name in sorted({name.split(".")[0] for name in imports(tree)}):
        if room != "nodes" and (name in ROS or name.endswith(("_msgs", "_srvs"))):
            told.append(f"{module} imports {name}; only nodes/ knows ROS")
    return told


def test_every_module_has_a_floor():
    assert {module.split(".")[0] for module in MODULES} <= set(FLOOR)


@pytest.mark.parametrize("module", MODULES)
def test_house_rules(module):
    assert not faults(module, MODULES[module])


def test_no_cycles():
    left = {module: ours(tree) - {module} for module, tree in MODULES.items()}
    while free := [module for module, needs in left.items() if not needs & set(left)]:
        for module in free:
            del left[module]
    assert not left, f"these import each other in a circle: {sorted(left)}"


@pytest.mark.parametrize(
    "module, source, fault",
    [
        ("types", "from wsss_ros.cam import seed_labels", "types imports cam"),
        ("geometry.poses", "from wsss_ros.scenes import images", "geometry.poses imports scenes"),
        ("cam", "def f():\n    import wsss_ros.losses", "cam imports losses"),
        ("cli.up", "from wsss_ros.nodes import replay", "cli.up imports nodes"),
        ("bags.bag", "from sensor_msgs.msg import Image", "only nodes/ knows ROS"),
        ("inference", "import rclpy", "only nodes/ knows ROS"),
    ],
)
def test_faults_are_seen(module, source, fault):
    assert any(fault in told for told in faults(module, ast.parse(source)))


def test_what_is_allowed():
    source = "import rclpy\nfrom sensor_msgs.msg import Image\nfrom wsss_ros import inference\n"
    source += "from wsss_ros.nodes import node"
    assert not faults("nodes.replay", ast.parse(source))
