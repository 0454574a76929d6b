"""The commands: parse, call, print."""

import sys
from pathlib import Path

from blindsr.cli import images, maintenance, plugins, results, run
from blindsr.cli.app import cli

__all__ = ["cli", "images", "main", "maintenance", "plugins", "results", "run"]


def main() -> None:
    """The entry point of the command ``blindsr``."""
    cli(prog_name="blindsr" if Path(sys.argv[0]).stem != "__main__" else "python -m blindsr")
