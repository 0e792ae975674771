"""`wsss bench`: the measurements. Each is the function ``bench_NAME`` in the file of that name."""

import typer

from wsss_ros.cli import main

BENCHES = {
    "speed": "How fast networks, conversions and nodes are, next to their baselines.",
    "latency": "Milliseconds around the image network by part, and from stamp to label, by image size.",
    "map": "Semantic maps of scenes with truth, next to the labels of single frames.",
    "mapper": "A looped recording for the semantic mapper: rate, memory over time, drops by cause.",
    "image": "Image networks: milliseconds, and mIoU, by stride, size and precision.",
    "sparse": "Sparse convolutions of a U-Net by number of voxels, and their memory.",
    "fusion": "Labels of frames voted onto a cloud, by points and frames, and the memory.",
    "train": "Samples a second of training, memory, and the share of each part.",
    "ablation": "Train the rows of the paper's ablation and report the results.",
    "methods": "Train rows of several methods and report them next to the tables of their papers.",
    "regions": "Regions of clouds against dense truth: purity, boundaries, number, seconds.",
    "primitives": "Superpoints and primitives of Densify: seconds, memory, purity.",
    "gate": "Train and judge rounds of online learning, good and spoilt ones, and compare with dense truth.",
}


class Benches(main.Commands):
    """`wsss bench` without a name measures speed."""

    HELP, PREFIX = BENCHES, "bench_"

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Put ``speed`` before the options where no name is given."""
        named = args and (args[0] in ("-h", "--help") or not args[0].startswith("-"))
        return super().parse_args(ctx, args if named else ["speed", *args])


bench = typer.Typer(
    cls=Benches, add_completion=False, pretty_exceptions_enable=False, context_settings=main.app.info.context_settings
)


@bench.callback()
def options() -> None:
    """Measure speeds, networks, fusion, a training step, experiments, regions, the gate. Without a name: speed."""
