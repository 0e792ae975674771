"""Progress on the console."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID


@contextmanager
def bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each name that the yielded ``progress(name, done, total)`` is called with, until the end."""
    with Progress(console=console, transient=True) as shown:
        tasks: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total)
            shown.update(tasks[name], completed=done)

        yield progress
