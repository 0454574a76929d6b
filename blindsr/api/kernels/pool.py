"""A kernel pool of many photographs: estimated in parallel, kept as they are finished, then written together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindsr.api.kernels.layouts import PoolLayout, layout_for
from blindsr.api.kernels.photos import cell_of
from blindsr.api.kernels.writing import Part, PoolWriter
from blindsr.api.photographs.reading import PHOTO_SUFFIXES
from blindsr.components.interfaces import KernelEstimator
from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.execution.events import Listener
from blindsr.execution.resources import Resources
from blindsr.execution.runner import run_steps
from blindsr.imaging.files import explained
from blindsr.imaging.kernel import Convention
from blindsr.pipeline import datasets
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.keys import StepMaker
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.schema import Pipeline
from blindsr.pipeline.steps import Absent, Input
from blindsr.report.progress import console
from blindsr.storage.kernel_pool import POOL_FILE, KernelPool
from blindsr.storage.output_folder import OutputFolder

STATE = ".blindsr"
"""The folder in the pool with the finished estimates."""
MAX_EXPECTED_ERROR = 0.35
"""Kernels whose expected relative L2 error is above it are doubtful. `kernelnet` warns of its own from there on."""
MAX_CELLS = 64


@dataclass(frozen=True)
class Estimated:
    """What became of the photographs: the pool, the numbers of estimates made now and before, and of those that failed."""

    pool: KernelPool
    computed: int
    cached: int
    failed: int


def estimate_pool(
    photos: str | Path | Sequence[str | Path], out: str | Path, *, method: str = "kernelnet", scale: int = 2, seed: int = 0,
    parameters: Mapping[str, Any] | None = None, cells: int = 1, layout: PoolLayout = "mat",
    convention: Convention = "kernelgan", max_error: float = MAX_EXPECTED_ERROR, noise_patches: int = 0, device: str = "auto",
    workers: int | None = None, threads: int = 1, registry: Registry | None = None, listener: Listener | None = None,
    progress: bool = False,
) -> Estimated:  # fmt: skip
    """Estimate the kernels of many photographs, and write them to a folder: files, ``kernels.h5`` and a contact sheet.

    Estimates that an earlier call has finished are not made again. A call replaces the pool by that of its own photographs.

    Parameters
    ----------
    photos
        Files and folders: the formats of `blindsr.upscale`, AVIF, HEIC and cameras' raw files among them.
    out
        The folder, new or of a pool.
    method, parameters, scale, seed
        A kernel estimator (see ``blindsr plugins``), its parameters, the scale of the kernels, and the seed.
    cells
        A kernel for each cell of a grid of so many times so many over each photograph, since blur differs over the field.
    layout
        ``mat``, ``npy`` or ``png``: ``NAME_kernel_xSCALE.SUFFIX``; ``realsr``: ``NAME/NAME_kernel_xSCALE.mat``; ``trainner``:
        ``NAME/kernel_xSCALE.npy``; ``h5``: only ``kernels.h5``.
    convention
        Of the kernel files: ``kernelgan``, ``usrnet`` or ``fkp`` (`Kernel.load`).
    max_error
        Kernels with a larger expected error are left out.
    noise_patches
        At most so many patches of noise from the flat regions of each photograph are kept for the degradation ``kernel_pool``.
    device, workers, threads, progress
        As in `blindsr.run`.

    Returns
    -------
    The pool and what was done. Photographs that fail are told to the listener; the others are estimated.

    Raises
    ------
    BlindSRError
        If an argument is wrong, there are no photographs, `out` is a file, or no kernel is left.
    """
    out = Path(out)
    registry = registry or Registry.discover()
    component = registry.build("kernel", method, parameters or {}, scale=scale)
    if not isinstance(component, KernelEstimator):
        raise BlindSRError(f"'{component.name}' is for pipelines; for photographs, choose another from `blindsr plugins`")
    if not 1 <= cells <= MAX_CELLS:
        raise BlindSRError(f"`cells` {cells}: must be from 1 to {MAX_CELLS}")
    if not max_error >= 0 or noise_patches < 0:
        raise BlindSRError(f"`max_error` {max_error} and `noise_patches` {noise_patches}: must be 0 or more")
    files = layout_for(layout, convention)
    if out.exists() and not out.is_dir():
        raise BlindSRError(f"{out}: is a file, not a folder to write kernels to; name another for `out`")
    with explained(out):
        if out.is_dir() and any(out.iterdir()) and not ((out / POOL_FILE).is_file() or (out / STATE).is_dir()):
            raise BlindSRError(f"{out}: is there already, not empty, and no pool; choose a new folder")
    chosen = [photos] if isinstance(photos, str | Path) else photos
    found = datasets.lr_images([Path(photo) for photo in chosen], PHOTO_SUFFIXES)
    folder = OutputFolder(out / STATE)
    hashes = folder.hashes()
    plan, parts = _planned(found, component, scale, seed, cells, hashes)
    settings: dict[str, str | float] = {
        "estimator": component.full_name, "estimator_version": component.version, "scale": scale, "seed": seed, "cells": cells,
        "parameters": json.dumps(component.model_dump(mode="json"), sort_keys=True), "max_error": float(max_error),
        "noise_patches": noise_patches, "layout": layout, "convention": convention,
    }  # fmt: skip
    with console() if progress else nullcontext(listener or Listener()) as heard:
        writer = PoolWriter(out, files, convention, parts, settings, heard)
        report = run_steps(
            plan, registry, Resources(device, workers, threads), folder=folder, listener=heard, conclude=writer.conclude
        )
    hashes.save()
    if report.interrupted:
        raise KeyboardInterrupt
    assert writer.pool is not None
    return Estimated(writer.pool, len(report.computed), len(report.cached), len(report.failures))


def _planned(
    found: datasets.Dataset, component: KernelEstimator, scale: int, seed: int, cells: int, hashes: Hashes
) -> tuple[Plan, list[Part]]:
    """The steps, and the part of a photograph that each kernel is of."""
    maker = StepMaker(scale, hashes)
    pipeline = Pipeline(
        name="estimate", scale=scale, seeds=(seed,), data=None, degradation=None, data_seed=0, methods=(), path=Path(), text=""
    )  # of no rows and no result: the steps alone are run
    plan, parts = Plan(pipeline, found), []
    for item in found.items:
        assert item.lr is not None
        for row in range(cells):
            for column in range(cells):
                source = _source(item.lr, cells, row, column, hashes)
                name = item.id if cells == 1 else f"{item.id}_r{row + 1}c{column + 1}"
                step = maker.step("estimate", component, {"lr": source}, seed=seed, item=name)
                plan.steps.setdefault(step.key, step)
                cell = f"{row + 1},{column + 1} of {cells} x {cells}" if cells > 1 else ""
                parts.append(Part(item.lr, name, source, cell, step.key))
    return plan, parts


def _source(photo: Path, cells: int, row: int, column: int, hashes: Hashes) -> Input:
    try:
        file = hashes.file(photo)
    except BlindSRError as error:  # it fails, and the others go on
        return Absent(str(error))
    return cell_of(file, cells=cells, row=row, column=column)
