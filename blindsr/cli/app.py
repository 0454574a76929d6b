"""The command group: what all commands share, and how errors end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blindsr import __version__
from blindsr.errors import BlindSRError, printable

if TYPE_CHECKING:
    from blindsr.components.registry import Registry

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Refusal(click.ClickException):
    exit_code = 2

    def __init__(self, error: BlindSRError) -> None:
        super().__init__(str(error))
        self.error = error

    def show(self, file: Any = None) -> None:
        for line, excerpt in zip(self.error.lines, self.error.excerpts, strict=True):
            click.echo(f"error: {printable(line)}" + (f"\n{excerpt}" if excerpt else ""), err=True)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BlindSRError as error:
            if ctx.params.get("debug"):
                raise
            raise _Refusal(error) from error
        except OSError as error:
            if ctx.params.get("debug") or not (error.filename or error.errno in FULL):
                raise
            if not error.filename and sys.stdout:
                with contextlib.suppress(OSError):  # or Python tries once more as it ends
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise _Refusal(BlindSRError(f"{error.filename or 'standard output'}: {error.strerror}")) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="blindsr")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Blind super-resolution: estimate an image's own blur, and super-resolve with it.

    Start with: blindsr run kernelgan_zssr
    """


class AnyPath(click.Path):
    """A path. An empty text is none: it comes of variables that are not set, and would mean the working directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse it, or convert it."""
        if value == "":
            self.fail("needs a path, not an empty text (an unset variable?)", param, ctx)
        return super().convert(value, param, ctx)


device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where torch computes."
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Threads of each worker; results are bit-equal for equal numbers.",
)
settings_option = click.option(
    "--set", "settings", metavar="PATH=VALUE", multiple=True, help="Change one setting; may be repeated."
)


def say(text: str, *, err: bool = False) -> None:
    """Print lines in which names of files may stand, which must not steer the terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=err)


def whole_numbers(option: str, text: str, example: str) -> list[int]:
    """The numbers in the text of an option, such as ``2,4``."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise BlindSRError(f"{option} {text}: write whole numbers with commas between, such as {example}") from None


def installed() -> Registry:
    """The installed plugins; those that cannot be used are named."""
    from blindsr.components.registry import Registry

    registry = Registry.discover()
    warn(registry)
    return registry


def warn(registry: Registry) -> None:
    """Name the plugins that cannot be used."""
    for problem in registry.problems:
        say(f"warning: {problem}", err=True)
