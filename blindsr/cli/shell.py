"""What concerns the shell and the desktop: completion, and opening of results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from blindsr.cli.app import cli, say

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from blindsr.components.discovery import Kind

Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]"

PATIENCE_SECONDS = 3.0
HOW = {
    "bash": 'Add to ~/.bashrc:  eval "$(blindsr completion bash)"',
    "zsh": 'Add to ~/.zshrc:  eval "$(blindsr completion zsh)"',
    "fish": "Run once:  blindsr completion fish > ~/.config/fish/completions/blindsr.fish",
}


@cli.command(epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice([*HOW]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and names of methods in a shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    script = found(cli, {}, "blindsr", "_BLINDSR_COMPLETE")
    click.echo(type(script).source_template % script.source_vars())


def methods(kind: Kind | None = None) -> Completer:
    """Completes the names of components of a kind, or of all kinds."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from blindsr.components.registry import Registry

        found = {
            name: entry.component.__doc__ or "" for (of, name), entry in Registry.discover().entries.items() if kind in (None, of)
        }
        return [
            CompletionItem(name, help=text.strip().split("\n")[0]) for name, text in found.items() if name.startswith(incomplete)
        ]

    return complete


def pipelines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the names of bundled pipelines, and of files."""
    from click.shell_completion import CompletionItem

    from blindsr.pipeline.loader import bundled

    names = [CompletionItem(name) for name in bundled() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def show(path: Path) -> None:
    """Open a file or folder with the desktop's program for it; where there is none, say so."""
    target = str(path.resolve())
    try:
        failed = _failed_on_linux(target) if sys.platform == "linux" else bool(click.launch(target))
    except Exception:  # whatever a desktop does, the result is there
        failed = True
    if failed:
        say(f"note: {path}: no program was found to open it", err=True)


def _failed_on_linux(target: str) -> bool:
    """As `click.launch`, but what the programs say is not printed, and it is known where there is none."""
    nothing = subprocess.DEVNULL
    command = ["xdg-open", target]  # the user's own desktop
    program = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)  # noqa: S603
    try:
        return program.wait(PATIENCE_SECONDS) != 0
    except subprocess.TimeoutExpired:  # it stays until the user closes it
        return False
