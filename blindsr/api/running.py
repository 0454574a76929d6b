"""Running a pipeline from Python: ``blindsr.run``; and the plan behind it, which the command line shares."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution.events import Listener
from blindsr.execution.resources import Resources
from blindsr.execution.runner import run_plan
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.loader import find, load
from blindsr.pipeline.plan import Plan, make_plan
from blindsr.pipeline.yaml_source import Settings
from blindsr.report.progress import console
from blindsr.storage.output_folder import OutputFolder
from blindsr.storage.result import Result, open_result

Data = str | Path | Mapping[str, Any]


def run(
    pipeline: str | Path, *, data: Data | None = None, scale: int | None = None, seeds: Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None, items: str | None = None, limit: int | None = None, out: str | Path = "runs",
    name: str | None = None, device: str = "auto", workers: int | None = None, threads: int = 1, timeout: float | None = None,
    dask: str | None = None, progress: bool = False,
) -> Result:  # fmt: skip
    """Run a pipeline, and open its result. What an earlier run in `out` has finished is not computed again.

    Parameters
    ----------
    pipeline
        A YAML file, or the name of a bundled pipeline.
    data
        The images instead of the pipeline's own: a folder in DIV2KRK's layout, or ``{"hr": FOLDER}``, ``{"lr": [PHOTO, ...]}``,
        ``{"sample": NAME}``.
    scale, seeds, settings
        Replace the pipeline's scale and seeds, and any of its fields: ``{"methods.KernelGAN.sr": "bicubic"}``.
    items, limit
        Run only on the items whose names match a glob pattern, and only on the first so many.
    out, name
        The output folder, and the name of the result's folder in it (by default of the pipeline, the data and the scale).
    device
        ``auto``, ``cpu`` or ``cuda``.
    workers, threads
        Worker processes (0: this process; None: one for each core, or one for each GPU), and the threads of each.
    timeout
        Seconds after which a step is stopped.
    dask
        Run on the workers of this Dask scheduler.
    progress
        Show progress bars and remarks on standard error.

    Returns
    -------
    The open result. Rows that failed have an ``error`` in its columns.

    Raises
    ------
    BlindSRError
        If the pipeline is wrong, a file is missing, or `out` cannot be written.
    """
    folder = OutputFolder(out)
    resources = Resources(device, workers, threads, timeout, dask)
    registry = Registry.discover()
    plan = plan_run(
        pipeline, registry, folder.hashes(), data=data, scale=scale, seeds=seeds, items=items, limit=limit, settings=settings or {}
    )
    with console() if progress else nullcontext(Listener()) as listener:
        report = run_plan(plan, registry, resources, folder=folder, name=name, listener=listener)
    if report.interrupted:
        raise KeyboardInterrupt
    return open_result(report.result)


def plan_run(
    pipeline: str | Path, registry: Registry, hashes: Hashes, *, data: Data | None = None, scale: int | None = None,
    seeds: Sequence[int] | None = None, settings: Settings = (), items: str | None = None, limit: int | None = None,
) -> Plan:  # fmt: skip
    """The plan that the arguments of `run` ask for; `settings` may also be ``path=value`` strings, their values in YAML."""
    data = {"div2krk": data} if isinstance(data, str | Path) else data
    given = {"data": data and dict(data), "scale": scale, "seeds": None if seeds is None else list(seeds)}
    overrides = {field: value for field, value in given.items() if value is not None}
    # The files that a bundled pipeline names lie where its user is, not in the installation.
    base = None if Path(pipeline).is_file() else Path()
    loaded = load(find(str(pipeline)), registry, overrides=overrides, settings=settings, base=base)
    dataset = loaded.dataset()
    chosen = [item for item in dataset.items if item.id == items or fnmatch(item.id, items or "*")][:limit]
    if not chosen:
        raise BlindSRError(f"`items` {items}: none matches; there are {', '.join(item.id for item in dataset.items[:10])}")
    plan = make_plan(loaded, replace(dataset, items=tuple(chosen)), hashes)
    hashes.save()
    return plan
