"""The command group: options that commands share, and how errors are shown."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blindsr import __version__
from blindsr.errors import BlindSRError, printable

if TYPE_CHECKING:
    from blindsr.components.registry import Registry
    from blindsr.report.progress import Console

REFUSED, INTERRUPTED = 2, 130
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (BlindSRError, OSError) as error:
            refusal = self._refusal(ctx, error)
            if ctx.params.get("debug") or not refusal:
                raise
            click.echo(refusal, err=True)
            ctx.exit(REFUSED)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)

    def _refusal(self, ctx: click.Context, error: BlindSRError | OSError) -> str:
        """What to say of an error; nothing of one that is a defect of blindsr."""
        if isinstance(error, BlindSRError):
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            lines = (f"error: {printable(with_options(command, line))}" for line in error.lines)
            return "\n".join(text for pair in zip(lines, error.excerpts, strict=True) for text in pair if text)
        if error.filename:
            return f"error: {printable(str(error.filename))}: {error.strerror}"
        if error.errno == errno.EPIPE:  # `| head` has read enough: click ends without a word
            return ""
        if any(frame.filename == click.utils.__file__ for frame in traceback.extract_tb(error.__traceback__)):
            with contextlib.suppress(OSError):  # or Python tries to write once more as it ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return f"error: standard output: {error.strerror}"
        return f"error: {error.strerror} (the file is not known; blindsr --debug shows where)" if error.errno in DISK_ERRORS else ""


def with_options(command: click.Command | None, line: str) -> str:
    """`line` with arguments as options of the command: `per_item` becomes --per-item, and workers=0 --workers 0."""
    commands = command.commands.values() if isinstance(command, click.Group) else [command] if command else []
    options = {option.name: max(option.opts, key=len) for each in commands for option in each.params if option.name}

    def option(match: re.Match[str]) -> str:
        quoted, assigned = match.groups()
        return options.get(quoted or assigned, "") + (" " if assigned else "") if (quoted or assigned) in options else match[0]

    return re.sub(r"`(\w+)`|\b(\w+)=(?=\S)", option, line)


def console_of(ctx: click.Context) -> AbstractContextManager[Console]:
    """The console of a command, which names its options."""
    from blindsr.report.progress import console

    return console(debug=ctx.find_root().params["debug"], translate=partial(with_options, ctx.command))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="blindsr")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Blind super-resolution: estimate an image's own blur, and super-resolve with it.

    Start with: blindsr run kernelnet_unfolding
    """


class _AnyPath(click.Path):
    """A path. An empty text is refused: it comes from variables that are not set, and would mean the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("needs a path, not an empty text (an unset variable?)", param, ctx)
        return super().convert(value, param, ctx)


PATH = _AnyPath(path_type=Path)
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where torch computes."
)
threads_option = click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True,
    help="Threads of each worker; results are bit-equal for equal numbers.",
)  # fmt: skip


def convention_option(name: str, text: str) -> Callable[[Any], Any]:
    """An option for a convention of kernel files; ``blindsr`` is what the library calls ``kernelgan``."""
    choices = click.Choice(["blindsr", "kernelgan", "usrnet", "fkp"])

    def named(ctx: click.Context, param: click.Parameter, value: str) -> str:
        return "kernelgan" if value == "blindsr" else value

    return click.option(name, type=choices, default="blindsr", show_default=True, callback=named, help=text)


settings_option = click.option(
    "--set", "settings", metavar="PATH=VALUE", multiple=True, help="Change one setting; may be repeated."
)


def say(text: str, *, err: bool = False) -> None:
    """Print lines with names of files in them, without the control characters that would steer the terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=err)


def whole_numbers(option: str, text: str, example: str) -> list[int]:
    """The numbers in the text of an option, such as ``2,4``."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise BlindSRError(f"{option} {text}: write whole numbers with commas between, such as {example}") from None


def installed() -> Registry:
    """The installed plugins, after a warning for each that cannot be used."""
    from blindsr.components.registry import Registry

    registry = Registry.discover()
    for problem in registry.problems:
        say(f"warning: {problem}", err=True)
    return registry
