"""The command: ``python -m blindsr_training NETWORK --config FILE --hr PHOTOS --out FOLDER``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import click
import torch
from pydantic.fields import FieldInfo

from blindsr.api import BlindSRError, KernelEstimator
from blindsr.components.registry import Registry
from blindsr.pipeline.yaml_source import parsed_component
from blindsr_training.corrected.examples import examples_recipe
from blindsr_training.corrected.training import CorrectedTraining
from blindsr_training.drawings import write_drawings
from blindsr_training.harness import AnyTraining, train
from blindsr_training.kernelnet.training import KernelNetTraining
from blindsr_training.precomputed import precompute
from blindsr_training.settings import CONFIGS, read_settings
from blindsr_training.srmd.training import SRMDTraining
from blindsr_training.unfolding.estimates import estimates_recipe
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


def _of_samples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a command that makes `count` samples, or as many as it is told to, and some that are held out."""
    options = (
        click.option("--hr", type=click.Path(path_type=Path), required=True, help="Folder of HR images."),
        click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the files."),
        click.option("--scale", type=click.IntRange(2, 4), default=2, show_default=True, help="Scale."),
        click.option("--count", type=click.IntRange(1), default=count, show_default=True, help="How many, in hundreds."),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same result."),
        click.option(
            "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes of one thread and 0.7 GB each."
        ),
    )

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


@click.command
@_of_samples(6000)
def examples(scale: int, **given: Any) -> None:
    """Make what `corrected` is trained on, and 200 that are held out; about a second each.

    Run it again to go on after a stop, or for more.
    """
    torch.set_num_threads(1)
    precompute(examples_recipe(scale), **given)


@click.command
@click.option(
    "--estimator",
    "texts",
    metavar="NAME",
    multiple=True,
    required=True,
    help="A kernel estimator, or {NAME: {PARAMETER: VALUE}}; give it again for each one more.",
)
@_of_samples(4500)
def estimates(texts: Sequence[str], scale: int, **given: Any) -> None:
    """Make kernels as estimators answer them, which `unfolding` is trained on, and 200 that are held out.

    It takes as long as the estimators do. Run it again to go on after a stop, or for more.
    """
    torch.set_num_threads(1)
    estimators = [parsed_component(Registry.discover(), "kernel", text, scale) for text in texts]
    for estimator in estimators:
        if not isinstance(estimator, KernelEstimator):
            raise BlindSRError(f"'{estimator.name}' is for pipelines; choose another estimator from `blindsr plugins`")
    precompute(estimates_recipe(cast("list[KernelEstimator]", estimators), scale), **given)


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
main.add_command(estimates)

if __name__ == "__main__":
    main(prog_name="python -m blindsr_training")
