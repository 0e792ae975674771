"""The rules of the house: imports go downwards, and only nodes/ knows ROS."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "wsss_ros"

# From the ground up. Within a line no module may import another, but modules of one folder may, without a cycle.
FLOORS = [
    ["types", "files"],
    ["config"],
    ["labels"],
    ["geometry", "neighbors", "sync"],
    ["cam", "losses", "metrics", "accumulate"],
    ["networks", "data"],
    ["checkpoint"],
    ["inference", "methods"],
    ["pictures", "running_scores", "evaluation", "live_view"],
    ["devices", "interruption", "optimisers", "run_folder", "training_log", "page_server"],
    ["network_files", "run_data", "running_report"],
    ["training", "segmentation", "scoring"],
    ["online", "online_report", "node_set", "ablation"],
    ["cli", "nodes"],
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
        if FLOOR[below] >= FLOOR[room] and below != room:
            told.append(f"{module} imports {target}, which is not on a floor below")
        if room == below == "methods" and target not in ("methods", "methods.method"):
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
        ("geometry", "from wsss_ros.cam import seed_labels", "geometry imports cam"),
        ("cam", "def f():\n    import wsss_ros.losses", "cam imports losses"),
        ("cli.up", "from wsss_ros.nodes import replay", "cli.up imports nodes"),
        ("data.bag", "from sensor_msgs.msg import Image", "only nodes/ knows ROS"),
        ("inference", "import rclpy", "only nodes/ knows ROS"),
    ],
)
def test_faults_are_seen(module, source, fault):
    assert any(fault in told for told in faults(module, ast.parse(source)))


def test_what_is_allowed():
    source = "import rclpy\nfrom sensor_msgs.msg import Image\nfrom wsss_ros import inference\n"
    source += "from wsss_ros.nodes import node"
    assert not faults("nodes.replay", ast.parse(source))
