"""The command ``blindsr plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blindsr.cli.app import cli, installed, say

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@cli.command()
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List the components of all plugins: their parameters with defaults, and where they come from."""
    from blindsr.components.registry import TITLES

    registry = installed()
    for kind, title in TITLES.items():
        click.secho(f"{title}s", bold=True)
        for (_, name), entry in ((key, entry) for key, entry in registry.entries.items() if key[0] == kind):
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
