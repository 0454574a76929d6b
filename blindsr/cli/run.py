"""The command ``blindsr run``."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blindsr.cli.app import INTERRUPTED, PATH, cli, device_option, installed, say, settings_option, threads_option, whole_numbers
from blindsr.cli.shell import pipelines, show
from blindsr.errors import BlindSRError

if TYPE_CHECKING:
    from blindsr.execution.scheduler import Report
    from blindsr.pipeline.plan import Plan


@cli.command()
@click.argument("pipeline", shell_complete=pipelines)
@click.argument("photos", nargs=-1, metavar="", type=PATH)
@click.option("--data", metavar="FOLDER", type=PATH, help="Run on a set in DIV2KRK's layout.")
@click.option("--hr", metavar="FOLDER", type=PATH, help="Run on a folder of HR images, degraded by the pipeline's degradation.")
@click.option("--lr", metavar="PHOTO...", type=PATH, multiple=True, help="Run on LR images: files, or a folder.")
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
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop a step that takes longer.")
@click.option("--out", type=PATH, default=Path("runs"), show_default=True, help="Folder of results.")
@click.option("--name", help="Name of the result's folder in it.  [default: PIPELINE-DATA-xSCALE]")
@click.option("--open", "open_it", is_flag=True, help="Show the folder of the images at the end.")
@click.option("--dry-run", is_flag=True, help="Say what there is to do and how long it will take, and do nothing.")
@click.pass_context
def run(
    ctx: click.Context, /, pipeline: str, out: Path, name: str | None, device: str, workers: int | None, threads: int,
    timeout: float | None, dask: str | None, open_it: bool, dry_run: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Run a pipeline: a YAML file, or the name of a bundled one.

    What is done already is not done again, so an interrupted run goes on where it stopped.
    The table comes last; images and result.h5 lie in the folder that it names.
    """
    from blindsr.api.running import plan_run
    from blindsr.cli.app import console_of, with_options
    from blindsr.execution.resources import Resources
    from blindsr.execution.runner import run_plan
    from blindsr.report.forecast import forecast
    from blindsr.storage.output_folder import OutputFolder

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system that stops the run is as good as Ctrl-C
    resources = Resources(device=device, workers=workers, threads=threads, timeout=timeout, dask=dask)
    folder = OutputFolder(out)
    registry = installed()
    plan = plan_run(pipeline, registry, folder.hashes(), **_arguments(**chosen))
    for remark in (*plan.left_out, *plan.remarks):
        say(f"note: {remark}", err=True)
    if dry_run:
        say(with_options(ctx.command, forecast(plan, folder.steps.keys(), folder.timings(), resources)))
        return
    try:
        with console_of(ctx) as listener:
            report = run_plan(plan, registry, resources, folder=folder, name=name, listener=listener)
    except KeyboardInterrupt:
        say("interrupted: what is finished is kept; run the same command to go on", err=True)
        ctx.exit(INTERRUPTED)
    status = _conclude(report)
    if open_it and not report.interrupted:
        show(report.images)
    ctx.exit(status)


def _arguments(
    *, photos: tuple[Path, ...], data: Path | None, hr: Path | None, lr: tuple[Path, ...], seeds: str | None, items: str | None,
    **others: Any,
) -> dict[str, Any]:  # fmt: skip
    """The arguments of `plan_run` that the options mean."""
    if photos and not lr:
        raise BlindSRError(f"unexpected argument '{photos[0]}'; photographs follow --lr, the pipeline comes first")
    sources = {k: v for k, v in {"div2krk": data, "hr": hr, "lr": [*lr, *photos]}.items() if v}
    if items == "":
        raise BlindSRError("--items needs a pattern, not an empty text (an unset variable?)")
    if len(sources) > 1:
        raise BlindSRError("choose one of --data, --hr and --lr")
    numbers = None if seeds is None else whole_numbers("--seeds", seeds, "0,1,2")
    return {"data": sources or None, "seeds": numbers, "items": items, **others}


def _conclude(report: Report) -> int:
    """Say what a run did; the exit code."""
    from blindsr.report.formats import to_terminal
    from blindsr.report.layout import Comparison
    from blindsr.report.summary import columns_named, filled, summarise

    summaries = summarise([report.result])
    columns = filled(columns_named("psnr,ssim,kernel_l2,seconds"), summaries)
    click.echo(to_terminal(Comparison(summaries, columns)))
    total, computed, cached, failed = len(report.plan.steps), len(report.computed), len(report.cached), len(report.failures)
    if report.interrupted:
        done = f"interrupted: {computed + cached} of {total} steps are done; run the same command to go on"
    elif not computed and not failed:
        done = f"nothing to compute: all {total} steps were done before"
    else:
        done = f"{computed} steps computed, {cached} done before, {failed} failed"
    say(f"{done}\nplan: {_counts(report.plan)}\nresult: {report.result}\nimages: {report.images}", err=True)
    return INTERRUPTED if report.interrupted else 1 if report.failures else 0


def _counts(plan: Plan) -> str:
    """How many steps each component has: an estimate that several methods share is one."""
    texts = []
    for kind, title in (("estimate", "kernels"), ("upscale", "SR")):
        if found := Counter(step.label for step in plan.steps.values() if step.kind == kind):
            texts.append(f"{title}: {', '.join(f'{n} {name}' for name, n in found.items())}")
    return "; ".join(texts)
