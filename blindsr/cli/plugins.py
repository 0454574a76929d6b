"""The command ``blindsr plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blindsr.cli.app import cli, installed, say
from blindsr.cli.shell import methods
from blindsr.errors import BlindSRError, alternatives

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@cli.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=methods())
@click.pass_context
def plugins(ctx: click.Context, names: tuple[str, ...]) -> None:
    """List the components of all plugins, or those named: their parameters with defaults, and where they come from."""
    from blindsr.components.registry import TITLES

    registry = installed()
    known = [name for _, name in registry.entries]
    for name in names:
        if name not in known:
            raise BlindSRError(f"no plugin has a component '{name}'{alternatives(name, known)}")
    chosen = {key: entry for key, entry in registry.entries.items() if not names or key[1] in names}
    for kind, title in TITLES.items():
        shown = {name: entry for (of, name), entry in chosen.items() if of == kind}
        if shown:
            click.secho(f"{title}s", bold=True)
        for name, entry in shown.items():
            summary = (entry.component.__doc__ or "").strip().split("\n")[0]
            click.echo(f"  {name:<16} {entry.source:<16} {summary}")
            for parameter, field in entry.component.model_fields.items():
                about = " ".join((field.description or "").split())
                click.echo(f"    {parameter} = {_default(field)}  {click.style(about, dim=True)}")
    if ctx.find_root().params["debug"]:
        for problem in (p for p in registry.problems if p.traceback):
            say(problem.traceback.rstrip(), err=True)


def _default(field: FieldInfo) -> str:
    try:
        return "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
    except Exception:  # a factory of the plugin that needs other fields, or fails
        return "computed"
