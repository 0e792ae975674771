"""`wsss bench`: what is measured. Each benchmark is the function of its name in the file of its name."""

import typer

from wsss_ros.cli import main

BENCHES = {
    "speed": "How fast networks, conversions and nodes are, beside their baselines.",
    "train": "Training samples a second, memory, and the share of each part.",
    "ablation": "Train the rows of the paper's ablation and report what came out.",
}


class Benches(main.Commands):
    """`wsss bench` without a name measures speed."""

    HELP, PREFIX = BENCHES, "bench_"

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        named = args and (args[0] in ("-h", "--help") or not args[0].startswith("-"))
        return super().parse_args(ctx, args if named else ["speed", *args])


bench = typer.Typer(
    cls=Benches, add_completion=False, pretty_exceptions_enable=False, context_settings=main.app.info.context_settings
)


@bench.callback()
def options() -> None:
    """Measure. Without a name: speed."""
