"""Writes a pool from finished estimates: kernel files, ``kernels.h5``, the contact sheet."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from blindsr.api.kernels.cameras import camera_kernels, camera_of
from blindsr.api.kernels.layouts import KernelLayout
from blindsr.api.kernels.noise import noise_patches
from blindsr.api.kernels.photos import photo_of
from blindsr.api.kernels.sheet import write_sheet
from blindsr.api.photographs.blur import Blur
from blindsr.errors import BlindSRError, shortened
from blindsr.execution.events import Listener
from blindsr.execution.scheduler import Report
from blindsr.imaging.files import explained
from blindsr.imaging.kernel import Convention
from blindsr.imaging.kernel_files import KERNEL_SUFFIXES
from blindsr.pipeline.steps import ImageFile, Input
from blindsr.storage.kernel_pool import CAMERAS, POOL_FILE, KernelPool, PooledKernel, pool_digest, read_pool_file, write_pool
from blindsr.storage.step_store import StepStore

SHEET = "contact_sheet.png"
VERSION = 1
"""Raised when a pool of the same estimates is written in another way."""


@dataclass(frozen=True)
class Part:
    """What a kernel is of: a photograph, or a `cell` of a grid over it; `key` is that of its estimate."""

    photo: Path
    name: str
    source: Input
    cell: str
    key: str


class PoolWriter:
    """Writes the pool of these parts of photographs into a folder; `pool` is what was written."""

    def __init__(
        self, out: Path, layout: KernelLayout | None, convention: Convention, parts: Sequence[Part],
        settings: Mapping[str, str | float], listener: Listener,
    ) -> None:  # fmt: skip
        self.pool: KernelPool | None = None
        self._out = out
        self._layout = layout
        self._convention = convention
        self._parts = parts
        self._settings = settings
        self._listener = listener

    def conclude(self, report: Report, steps: StepStore) -> None:
        """Write what is finished, unless it is there already or the run was interrupted: the next one goes on where it ended."""
        if report.interrupted:
            return
        file = self._out / POOL_FILE
        entries = [self._entry(part, steps) for part in self._parts if part.key not in report.failures]
        limit = float(self._settings["max_error"])
        kept = [entry for entry in entries if (entry.kernel.expected_error or 0) <= limit]
        doubtful = [entry for entry in entries if (entry.kernel.expected_error or 0) > limit]
        for entry in doubtful:
            where = f" (cell {entry.about['cell']})" if "cell" in entry.about else ""
            error = f"its expected error {entry.kernel.expected_error:.2f} is above `max_error` {limit:g}"
            self._listener.note(f"{entry.source}{where}: left out, {error}")
        if not kept:
            raise BlindSRError(
                f"{self._out}: no kernel is left: {len(doubtful)} doubtful, {len(report.failures)} failed; "
                "raise `max_error`, or take other photographs"
            )
        if pool_digest(file) == self._digest(report) and self._all_there(file):
            self.pool = read_pool_file(file)
            return
        cameras = self._camera_files(camera_kernels(kept))
        left_out = tuple(replace(entry, file="") for entry in doubtful)
        self.pool = KernelPool(tuple(kept), tuple(cameras), left_out, self._noise(kept), self._settings)
        self._write(file, self._digest(report))

    def _entry(self, part: Part, steps: StepStore) -> PooledKernel:
        """The kernel of a part, and what is known about it."""
        outcome = steps.load(part.key)
        assert outcome.kernel is not None
        assert isinstance(part.source, ImageFile)
        blur = Blur.of(outcome.kernel)
        about: dict[str, str | float] = {"sha256": part.source.sha256}
        about |= {"width_long_px": blur.long_px, "width_short_px": blur.short_px, "angle_degrees": blur.degrees}
        told = {"cell": part.cell, "camera": self._cameras[part.photo], "warnings": "; ".join(outcome.warnings)}
        about |= {name: text for name, text in told.items() if text}
        file = self._layout.place(part.name, outcome.kernel.scale) if self._layout else ""
        return PooledKernel(part.photo.name, outcome.kernel, file, about)

    @cached_property
    def _cameras(self) -> Mapping[Path, str]:
        return {photo: camera_of(photo) for photo in dict.fromkeys(part.photo for part in self._parts)}

    def _camera_files(self, entries: Sequence[PooledKernel]) -> list[PooledKernel]:
        """The cameras' kernels with their files: names with a number where two would be equal."""
        if self._layout is None:
            return list(entries)
        found: dict[str, PooledKernel] = {}
        for entry in entries:
            plain = re.sub(r"[^\w.+-]+", "_", f"{entry.source} {entry.about.get('cell', '')}".strip()).strip(".")
            names = (f"{plain}-{number}" if number > 1 else plain for number in itertools.count(1))
            file = next(
                f for f in (f"{CAMERAS}/{self._layout.place(name, entry.kernel.scale)}" for name in names) if f not in found
            )
            found[file] = replace(entry, file=file)
        return list(found.values())

    def _noise(self, kept: Sequence[PooledKernel]) -> NDArray[np.float32]:
        count = int(self._settings["noise_patches"])
        hashes = {entry.about["sha256"] for entry in kept}
        images = {part.source.sha256: part.source for part in self._parts if isinstance(part.source, ImageFile)} if count else {}
        found = [noise_patches(photo_of(image).read().pixels, count) for sha256, image in images.items() if sha256 in hashes]
        if count and not any(map(len, found)):
            self._listener.note("no photograph has a flat region that noise can be taken from")
        return np.concatenate(found) if found else KernelPool(()).noise

    def _digest(self, report: Report) -> str:
        """What the files depend on: settings, names and estimates."""
        parts = [[part.photo.name, part.name, part.cell, part.key] for part in self._parts if part.key not in report.failures]
        return hashlib.sha256(json.dumps([VERSION, dict(self._settings), parts]).encode()).hexdigest()

    def _all_there(self, file: Path) -> bool:
        return (self._out / SHEET).is_file() and all((self._out / name).is_file() for name in _files_of(file))

    def _write(self, file: Path, digest: str) -> None:
        assert self.pool is not None
        entries = [entry for entry in (*self.pool.kernels, *self.pool.cameras) if entry.file]
        old = set(_files_of(file)) - {entry.file for entry in entries}
        for entry in entries:
            entry.kernel.save(self._out / entry.file, convention=self._convention)
        write_sheet(self._out / SHEET, self.pool)
        write_pool(file, self.pool, digest)
        for name in old:
            with explained(self._out / name):
                (self._out / name).unlink(missing_ok=True)
        if old:
            self._listener.note(
                f"{self._out}: removed the kernels of an earlier pool that are not in this one: {shortened(sorted(old))}"
            )


def _files_of(file: Path) -> list[str]:
    """The kernel files that a pool names, as far as it may name them: within its folder, and no other files."""
    try:
        pool = read_pool_file(file)
    except BlindSRError:
        return []
    names = [PurePath(entry.file) for entry in (*pool.kernels, *pool.cameras) if entry.file]
    return [str(name) for name in names if not name.is_absolute() and ".." not in name.parts and name.suffix in KERNEL_SUFFIXES]
