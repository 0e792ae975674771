"""The command ``wsss``: each subcommand is a file that converts its options, makes one call, and prints."""

import os
import signal
import sys

# Ctrl-C is the usual end of these commands, with status 0. The others have not done their work: status 130.
ENDED_BY_CTRL_C = ("up", "replay", "segment", "evaluate")


def command_name() -> str:
    """The subcommand on the command line of this process."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")


def status_after(number: int, name: str) -> int:
    """The status of a command that a signal has ended."""
    return 0 if number == signal.SIGINT and name in ENDED_BY_CTRL_C else 128 + number


# `wsss` and `python -m wsss_ros.cli.main` come by here before their imports: Ctrl-C ends those without a traceback.
# `main` takes over from there.
if sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0] if sys.argv else "") == "wsss":
    signal.signal(signal.SIGINT, lambda number, _: os._exit(status_after(number, command_name())))
