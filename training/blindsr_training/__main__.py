"""The command: ``python -m blindsr_training NETWORK --config FILE --hr PHOTOS --out FOLDER``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch
from pydantic.fields import FieldInfo

from blindsr.api import BlindSRError
from blindsr_training.corrected.examples import make_examples
from blindsr_training.corrected.training import CorrectedTraining
from blindsr_training.drawings import write_drawings
from blindsr_training.harness import AnyTraining, train
from blindsr_training.kernelnet.training import KernelNetTraining
from blindsr_training.settings import CONFIGS, read_settings
from blindsr_training.srmd.training import SRMDTraining
from blindsr_training.unfolding.training import UnfoldingTraining
from blindsr_training.zssr.training import ZSSRTraining

TRAININGS: dict[str, type[AnyTraining]] = {
    "corrected": CorrectedTraining, "kernelnet": KernelNetTraining, "srmd": SRMDTraining, "unfolding": UnfoldingTraining,
    "zssr": ZSSRTraining,
}  # fmt: skip


def _option(name: str, field: FieldInfo) -> click.Option:
    default = "" if field.is_required() or field.default is None else f"  [default: {field.default}]"
    return click.Option([f"--{name.replace('_', '-')}", name], help=f"{field.description}{default}")


def _command(name: str, kind: type[AnyTraining]) -> click.Command:
    def run(config: str | None, out: Path, **given: str | None) -> None:
        train(kind, read_settings(kind.Settings, config, {key: text for key, text in given.items() if text is not None}), out)

    bundled = ", ".join(sorted(path.name for path in CONFIGS.glob(f"{name}*.yaml")))
    options = [
        click.Option(["--config"], help=f"Settings in YAML: a file, or one of the bundled {bundled}. Options override it."),
        click.Option(
            ["--out"], type=click.Path(path_type=Path), required=True, help="Folder of the training: state, log, network."
        ),
        *(_option(key, field) for key, field in kind.Settings.model_fields.items()),
    ]
    return click.Command(name, params=[*options], callback=run, help=kind.__doc__)


@click.command
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the images, PNG.")
@click.option("--count", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same images.")
def drawings(out: Path, count: int, seed: int) -> None:
    """Make images of text, screens, charts and facades, to train on beside photographs."""
    write_drawings(out, count, seed)


@click.command
@click.option("--hr", type=click.Path(path_type=Path), required=True, help="Folder of HR images.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the examples.")
@click.option("--scale", type=click.IntRange(2, 4), default=2, show_default=True, help="Scale.")
@click.option("--count", type=click.IntRange(1), default=6000, show_default=True, help="How many, about a second each.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same examples.")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes of one thread and 0.7 GB each.")
def examples(hr: Path, out: Path, scale: int, count: int, seed: int, workers: int) -> None:
    """Make what `corrected` is trained on. Run it again to go on after a stop, or for more."""
    torch.set_num_threads(1)
    make_examples(hr, out, scale=scale, count=count, seed=seed, workers=workers)


class _Commands(click.Group):
    """Errors that the user can put right are a line, and no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BlindSRError as error:
            raise click.ClickException(str(error)) from error


main = _Commands(
    "blindsr_training", {name: _command(name, kind) for name, kind in TRAININGS.items()},
    help="Train the networks of blindsr's plugins. Run a command again to go on after a stop.",
)  # fmt: skip
main.add_command(drawings)
main.add_command(examples)

if __name__ == "__main__":
    main(prog_name="python -m blindsr_training")
