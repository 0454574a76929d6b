"""The command ``blindsr plugins``."""

from __future__ import annotations

import click

from blindsr.cli.app import cli, warn


@cli.command()
def plugins() -> None:
    """List the components of all plugins: their parameters with defaults, and where they come from."""
    from blindsr.components.registry import TITLES, Registry

    registry = Registry.discover()
    for kind, title in TITLES.items():
        click.secho(f"{title}s", bold=True)
        for entry in (e for e in registry.entries.values() if e.kind == kind):
            summary = (entry.component.__doc__ or "").strip().split("\n")[0]
            click.echo(f"  {entry.component.name:<16} {entry.source:<16} {summary}")
            for name, field in entry.component.model_fields.items():
                default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
                about = " ".join((field.description or "").split())
                click.echo(f"    {name} = {default}  {click.style(about, dim=True)}")
    warn(registry)
