"""The commands: parse, call, print."""

import sys
from pathlib import Path

from blindsr.cli import (  # noqa: F401  (they add their commands)
    doctor,
    images,
    kernel,
    plugins,
    report,
    results,
    run,
    shell,
    upscale,
)
from blindsr.cli.app import cli


def main() -> None:
    """The entry point of the command ``blindsr``."""
    cli(prog_name="blindsr" if Path(sys.argv[0]).stem != "__main__" else "python -m blindsr")
