"""The commands: parse, call, print."""

from __future__ import annotations

import signal
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blindsr import __version__
from blindsr.errors import BlindSRError, printable

if TYPE_CHECKING:
    from blindsr.execute import Report
    from blindsr.hashes import Hashes
    from blindsr.plan import Plan
    from blindsr.registry import Registry

INTERRUPTED = 130


class _Refusal(click.ClickException):
    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo("\n".join(f"error: {printable(line)}" for line in self.message.splitlines()), err=True)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BlindSRError as error:
            if ctx.params.get("debug"):
                raise
            raise _Refusal(str(error)) from error
        except OSError as error:
            if ctx.params.get("debug") or not error.filename:
                raise
            raise _Refusal(f"{error.filename}: {error.strerror}") from error
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


device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where torch computes."
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads of each worker; results are bit-equal for equal numbers.",
)
settings_option = click.option(
    "--set", "settings", metavar="PATH=VALUE", multiple=True, help="Change one setting; may be repeated."
)


@cli.command()
@click.argument("pipeline")
@click.argument("photos", nargs=-1, metavar="")
@click.option("--data", metavar="FOLDER", help="Run on a set in DIV2KRK's layout.")
@click.option("--hr", metavar="FOLDER", help="Run on a folder of HR images, degraded by the pipeline's degradation.")
@click.option("--lr", metavar="PHOTO...", multiple=True, help="Run on LR images: files, or a folder.")
@click.option("--scale", type=click.IntRange(2, 4), help="Instead of the pipeline's scale.")
@click.option("--seeds", metavar="0,1,2", help="Instead of the pipeline's seeds.")
@settings_option
@click.option("--items", metavar="GLOB", help="Only the items whose names match.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N items.")
@device_option
@click.option(
    "--workers", type=click.IntRange(0), help="Worker processes; 0 runs in this one.  [default: the cores, or one for each GPU]"
)
@threads_option
@click.option(
    "--dask", metavar="ADDRESS", help="Run on the workers of this Dask scheduler (tcp://HOST:8786, or its scheduler file)."
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Give up a step that takes longer.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of results.")
@click.option("--dry-run", is_flag=True, help="Say what there is to do and how long it will take, and do nothing.")
@click.pass_context
def run(
    ctx: click.Context, /, pipeline: str, out: Path, device: str, workers: int | None, threads: int, timeout: float | None,
    dask: str | None, dry_run: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Run a pipeline: a YAML file, or the name of a bundled one.

    What is done already is not done again, so an interrupted run goes on where it stopped.
    The table comes last; images and result.h5 lie in the folder that it names.
    """
    from blindsr import execute, forecast
    from blindsr.console import console
    from blindsr.device import cores
    from blindsr.hashes import Hashes
    from blindsr.store import StepStore
    from blindsr.upkeep import STEPS

    registry = _registry()
    hashes = Hashes(out / execute.HASHES)
    plan = _plan(pipeline, registry, hashes, **chosen)
    hashes.save()
    for remark in (*plan.left_out, *plan.remarks):
        click.echo(f"note: {printable(remark)}", err=True)
    if dry_run:
        store = StepStore(out / STEPS)
        lines = forecast.forecast(plan.steps.values(), lambda key: key in store, forecast.Timings(out))
        click.echo(forecast.to_text(plan, lines, workers or max(1, cores() // threads)))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system that stops the run is as good as Ctrl-C
    with console(debug=ctx.find_root().params["debug"]) as listener:
        report = execute.run(
            plan, registry, out=out, device=device, workers=workers, threads=threads, timeout=timeout, dask=dask,
            listener=listener,
        )  # fmt: skip
    ctx.exit(_conclude(report))


@cli.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULT...", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["terminal", "markdown", "csv", "latex"]), default="terminal", show_default=True
)
@click.option(
    "--columns",
    metavar="NAMES",
    default="psnr,ssim",
    show_default=True,
    help="psnr, ssim, kernel_l2, kernel_correlation, seconds_estimate, seconds_upscale; seconds (both), all.",
)
@click.option(
    "--against",
    metavar="NAMES",
    help="Put published numbers and the difference beside: paper (KernelGAN's Table 1), dualsr, dan, dcls, pl_idenet.",
)
@click.option("--per-item", is_flag=True, help="A line for each item, instead of their mean.")
def table(results: tuple[Path, ...], form: str, columns: str, against: str | None, per_item: bool) -> None:
    """Print the comparison table of result files (or of the folders that hold them).

    Results of one pipeline's name on the same data become columns side by side, one set for each scale.
    """
    from contextlib import ExitStack

    from blindsr import table as tables
    from blindsr.published import published_table
    from blindsr.result import open_result

    chosen = tables.columns_named(columns)
    published = [published_table(name) for name in dict.fromkeys(map(str.strip, against.split(",")))] if against is not None else []
    with ExitStack() as stack:
        lines = tables.lines([stack.enter_context(open_result(path)) for path in results], per_item=per_item)
    sheets = tables.sheets(lines, chosen, published)
    if form == "csv":
        click.echo(tables.to_csv(lines, chosen, published))
        for note in dict.fromkeys(note for sheet in sheets for note in sheet.notes):
            click.echo(f"note: {printable(note)}", err=True)
    elif form == "terminal":
        click.echo(tables.to_terminal(sheets, styled=True))  # without the styles where it is no terminal
    else:
        click.echo({"markdown": tables.to_markdown, "latex": tables.to_latex}[form](sheets))


@cli.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--method", default="kernelgan", show_default=True, help="A kernel estimator; see `blindsr plugins`.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Kernel file: .mat, .npy, or .png.  [default: IMAGE_kernel_xN.mat]"
)
@click.option("--scale", type=click.IntRange(2, 4), default=2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@settings_option
@device_option
@threads_option
def estimate(
    image: Path, method: str, output: Path | None, scale: int, seed: int, settings: tuple[str, ...], device: str, threads: int
) -> None:
    """Estimate the SR kernel of an image, and write it to a file.

    For a photograph as it came from the camera, add --set edge_shave=0.
    """
    from blindsr import single

    if not image.is_file():
        raise BlindSRError(f"{image}: no such file")
    registry = _registry()
    output = output or image.with_name(f"{image.stem}_kernel_x{scale}.mat")
    kernel = single.estimate(
        image, output, method, registry=registry, scale=scale, seed=seed, settings=settings, device=device, threads=threads
    )
    widths = " x ".join(f"{width:.2f}" for width in kernel.widths_px)
    click.echo(f"{output}: x{scale} kernel of {kernel.shape[0]} x {kernel.shape[1]} pixels, {widths} px wide (standard deviations)")


@cli.command()
@click.argument("hr_folder", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), required=True, help="The set's folder, new or of the same settings."
)
@click.option("--method", default="random_kernel", show_default=True, help="A degradation; see `blindsr plugins`.")
@click.option("--scales", metavar="2,4", default="2,4", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@settings_option
@click.pass_context
def degrade(
    ctx: click.Context, hr_folder: Path, output: Path, method: str, scales: str, seed: int, settings: tuple[str, ...]
) -> None:
    """Make a test set of a folder of HR images: LR images and kernels, in DIV2KRK's layout.

    Each image is degraded by a kernel of its own. The same images, settings and seed give the same bytes.
    Run on it with: blindsr run PIPELINE --data OUTPUT
    """
    from blindsr import degrade as degradation
    from blindsr.console import console

    numbers = _whole_numbers("--scales", scales, "2,4")
    if not set(numbers) <= {2, 3, 4}:
        raise BlindSRError(f"--scales {scales}: there are the scales 2, 3 and 4")
    registry = _registry()
    with console(debug=ctx.find_root().params["debug"]) as listener:
        made = degradation.degrade(
            hr_folder, output, method, registry=registry, scales=numbers, seed=seed, settings=settings, listener=listener
        )
    click.echo(f"{output}: {len(made.images)} images at {' and '.join(f'x{scale}' for scale in sorted(set(numbers)))}", err=True)
    ctx.exit(1 if made.failures else 0)


@cli.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to write to.  [default: export, beside the result]")
@click.option(
    "--what",
    type=click.Choice(["sr", "lr", "hr", "kernel"]),
    multiple=True,
    default=["sr"],
    show_default=True,
    help="May be repeated.",
)
@click.option("--items", metavar="GLOB", default="*", help="Only the items whose names match.")
@click.option("--methods", metavar="GLOB", default="*", help="Only the methods whose names match.")
def export(result: Path, output: Path | None, what: tuple[str, ...], items: str, methods: str) -> None:
    """Write images (.png) and kernels (.mat) out of a result file."""
    from blindsr.export import export as write
    from blindsr.result import open_result

    with open_result(result) as opened:
        folder = output or opened.path.parent / "export"
        chosen = (
            [name for name in opened.items if fnmatch(name, items)],
            [name for name in opened.methods if fnmatch(name, methods)],
        )
        count = write(opened, folder, what, *chosen)
    if not count:
        raise BlindSRError(
            f"nothing in {result} matches; it has items {', '.join(opened.items)} and methods {', '.join(opened.methods)}"
        )
    click.echo(f"{count} files written to {folder}")


@cli.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("runs"))
def check(path: Path) -> None:
    """Read every step and result in a folder of results, or one result file, to the end, and say what is damaged.

    Nothing is changed. A run computes damaged steps again.
    """
    from blindsr import upkeep

    count, damaged = 0, 0
    for checked in upkeep.check(path):
        count += 1
        if checked.problem:
            damaged += 1
            click.echo(printable(f"{checked.path}: {checked.problem}"))
    click.echo(f"{count} files read, {damaged} damaged", err=True)
    if damaged:
        sys.exit(1)


@cli.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def clean(out: Path, dry_run: bool, yes: bool) -> None:
    """Remove from a folder of results what no result in it needs: other steps, damaged files, what killed runs left.

    Every result counts whose folder is there, finished or not; remove a result's folder first to have its steps go, too.
    """
    from blindsr import upkeep
    from blindsr.lock import locked

    if not out.is_dir():
        raise BlindSRError(f"{out}: no such folder")
    with locked(out):
        found = upkeep.leftovers(out)
        size = sum(leftover.size for leftover in found)
        click.echo(f"{out}: {len(found)} files that no result needs, {size / 1e6:.1f} MB")
        if found and not dry_run and (yes or click.confirm("Remove them?", default=False)):
            for leftover in found:
                leftover.remove()
            click.echo(f"{size / 1e6:.1f} MB are free")


@cli.command()
def plugins() -> None:
    """List the components of all plugins: their parameters with defaults, and where they come from."""
    from blindsr.registry import TITLES, Registry

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
    _warn(registry)


def _whole_numbers(option: str, text: str, example: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise BlindSRError(f"{option} {text}: write whole numbers with commas between, such as {example}") from None


def _registry() -> Registry:
    """The installed plugins; those that cannot be used are named."""
    from blindsr.registry import Registry

    registry = Registry.discover()
    _warn(registry)
    return registry


def _warn(registry: Registry) -> None:
    for problem in registry.problems:
        click.echo(f"warning: {printable(str(problem))}", err=True)


def _plan(
    pipeline: str, registry: Registry, hashes: Hashes, *, photos: tuple[str, ...], data: str | None, hr: str | None,
    lr: tuple[str, ...], scale: int | None, seeds: str | None, settings: tuple[str, ...], items: str | None, limit: int | None,
) -> Plan:  # fmt: skip
    """The plan that the options of ``run`` ask for."""
    from dataclasses import replace

    from blindsr.pipeline import find, load
    from blindsr.plan import make_plan

    if photos and not lr:
        raise BlindSRError(f"unexpected argument '{photos[0]}'; photographs follow --lr, the pipeline comes first")
    sources: dict[str, Any] = {k: v for k, v in {"div2krk": data, "hr": hr, "lr": [*lr, *photos] or None}.items() if v is not None}
    if "" in sources.values() or "" in sources.get("lr", ()):
        raise BlindSRError("--data, --hr and --lr need a path, not an empty text (an unset variable?)")
    if len(sources) > 1:
        raise BlindSRError("choose one of --data, --hr and --lr")
    overrides: dict[str, Any] = {"data": sources} if sources else {}
    if scale:
        overrides["scale"] = scale
    if seeds is not None:
        overrides["seeds"] = _whole_numbers("--seeds", seeds, "0,1,2")
    # The files that a bundled pipeline names lie where its user is, not in the installation.
    base = None if Path(pipeline).is_file() else Path()
    loaded = load(find(pipeline), registry, overrides=overrides, settings=settings, base=base)
    dataset = loaded.dataset()
    chosen = [item for item in dataset.items if fnmatch(item.id, items or "*")][:limit]
    if not chosen:
        raise BlindSRError(f"--items {items}: none matches; there are {', '.join(item.id for item in dataset.items[:10])}")
    return make_plan(loaded, replace(dataset, items=tuple(chosen)), hashes)


def _conclude(report: Report) -> int:
    """Say what a run did; the exit code."""
    from blindsr import table as tables
    from blindsr.result import open_result

    with open_result(report.result) as result:
        lines = tables.lines([result])
    columns = tables.filled(tables.columns_named("psnr,ssim,kernel_l2,seconds"), lines)
    click.echo(tables.to_terminal(tables.sheets(lines, columns), styled=True))
    total = len(report.plan.steps)
    if report.interrupted:
        click.echo(
            f"interrupted: {len(report.computed) + len(report.cached)} of {total} steps are done; run the same command to go on",
            err=True,
        )
    elif not report.computed and not report.failures:
        click.echo(f"nothing to compute: all {total} steps were done before", err=True)
    else:
        click.echo(
            f"{len(report.computed)} steps computed, {len(report.cached)} done before, {len(report.failures)} failed", err=True
        )
    click.echo(f"plan: {_counts(report.plan)}", err=True)
    click.echo(f"result: {report.result}\nimages: {report.folder / 'images'}", err=True)
    return INTERRUPTED if report.interrupted else 1 if report.failures else 0


def _counts(plan: Plan) -> str:
    """How many steps each component has: an estimate that several methods share is one."""
    from collections import Counter

    counts = {kind: Counter(step.label for step in plan.steps.values() if step.kind == kind) for kind in ("estimate", "upscale")}
    titles = {"estimate": "kernels", "upscale": "SR"}
    texts = [f"{titles[kind]}: {', '.join(f'{n} {name}' for name, n in found.items())}" for kind, found in counts.items() if found]
    return "; ".join(texts)


def main() -> None:
    """The entry point of the command ``blindsr``."""
    cli(prog_name="blindsr" if Path(sys.argv[0]).stem != "__main__" else "python -m blindsr")
