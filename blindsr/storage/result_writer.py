"""The writer of the consolidated result. docs/file-format.md specifies the file."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from blindsr.errors import BlindSRError
from blindsr.imaging.files import write_whole
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import METRICS, PROTOCOL
from blindsr.pipeline.outcome import Failure, Outcome
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import ImageFile, Input, KernelFile, PlannedItem, PlannedRow, StepOutput
from blindsr.storage import hdf5
from blindsr.storage.step_store import StepStore

DIGEST = "contents_digest"
MIN_COPIED_BYTES = 1 << 16


def write_result(
    path: Path, plan: Plan, steps: StepStore, failures: Mapping[str, Failure], provenance: Mapping[str, Any],
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Consolidate all that is finished of a plan into one file; `progress` gets the numbers of parts written and of all parts."""

    def write(part: Path) -> None:  # part by part: a result may be larger than memory
        digest = _contents_digest(plan, steps, failures)
        with hdf5.new_file_on_disk(part, "blindsr-result") as file:
            hdf5.set_attributes(file, {"data": plan.dataset.name, "git_revision": _git_revision(), DIGEST: digest})
            hdf5.set_attributes(file.create_group("provenance"), provenance)
            writer = _Writer(file, steps, failures, {m.name: n for n, m in enumerate(plan.pipeline.methods)})
            parts: list[PlannedItem | PlannedRow] = [*plan.items, *plan.rows]
            for number, planned in enumerate(parts, 1):
                if isinstance(planned, PlannedItem):
                    writer.item(planned)
                else:
                    writer.row(planned, plan.pipeline.scale)
                progress(number, len(parts))
            writer.summary()

    steps.sync()
    write_whole(path, write)


def up_to_date(path: Path, plan: Plan, steps: StepStore, failures: Mapping[str, Failure]) -> bool:
    """Whether `write_result` has written this very result to `path` before.

    The device and the number of threads of the present run do not count: a run that computes nothing used neither.
    """
    try:
        with hdf5.opened(path, "blindsr-result") as file:
            return hdf5.get_text(file, DIGEST) == _contents_digest(plan, steps, failures)
    except Exception:  # h5py raises exceptions of many types for files that are missing or damaged
        return False


def provenance(plan: Plan, plugins: Sequence[Mapping[str, str]], device: str, threads: int) -> dict[str, Any]:
    """What made a result, as the attributes of ``/provenance``."""
    return {**_settings(plan), "plugins": json.dumps(plugins), "device": device, "threads": threads}


def _settings(plan: Plan) -> dict[str, str]:
    return {
        "pipeline_yaml": plan.pipeline.text,
        "resolved_config": json.dumps(plan.pipeline.resolved()),
        "seeds": json.dumps(list(plan.pipeline.seeds)),
        "weights": json.dumps(plan.weights),
        "left_out": "; ".join(plan.left_out),
    }


def _contents_digest(plan: Plan, steps: StepStore, failures: Mapping[str, Failure]) -> str:
    """The SHA-256 of all that a result is made of. Step files count by size and time stamp: a step can be computed again."""
    contents = {
        "format": hdf5.ENCODING_VERSION,
        "data": plan.dataset.name,
        "settings": _settings(plan),
        "items": [[p.item.id, str(p.source.path), *(str(getattr(i, "key", i)) for i in (p.lr, p.hr, p.true))] for p in plan.items],
        "rows": [[r.item, r.method.name, r.seed, r.estimate, r.upscale, r.score] for r in plan.rows],
        "steps": [[key, *steps.stamp(key)] for key in plan.steps],
        "failures": sorted([key, failure.message, failure.traceback] for key, failure in failures.items()),
    }
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


@dataclass
class _Writer:
    file: h5py.File
    steps: StepStore
    failures: Mapping[str, Failure]
    numbers: Mapping[str, int]  # the methods' groups, by name
    table: list[dict[str, Any]] = field(default_factory=list)

    def item(self, planned: PlannedItem) -> None:
        group = self.file.create_group(f"items/{planned.item.id}")
        notes: list[str] = []
        for name, image in (("lr", planned.lr), ("hr", planned.hr)):
            if isinstance(image, ImageFile):
                with contextlib.suppress(BlindSRError):  # unreadable, or changed meanwhile: its steps have failed with the reason
                    picture = image.read()
                    notes += picture.notes
                    hdf5.put_image(group, f"images/{name}", picture.pixels)
            elif isinstance(image, StepOutput) and image.key in self.steps:
                self._image(group, name, image.key, image.what, self.steps.load(image.key))
        about = {"input": str(planned.source.path), "sha256": planned.source.sha256, "notes": "; ".join(dict.fromkeys(notes))}
        hdf5.set_attributes(group, about)
        if kernel := self._kernel_of(planned.true):
            node = hdf5.put_kernel(group, "kernel/true", kernel)
            if isinstance(planned.true, StepOutput) and (done := self._done(planned.true.key)):
                hdf5.set_attributes(node, done.values)

    def row(self, row: PlannedRow, scale: int) -> None:
        group = self._method(row).create_group(str(row.seed))
        if kernel := self._kernel_of(row.kernel):
            hdf5.put_kernel(group, "kernel/estimated", kernel)
        steps = (("estimate", row.estimate), ("upscale", row.upscale), ("score", row.score))
        found = {kind: done for kind, key in steps if (done := self._done(key))}
        for kind, done in found.items():
            for name, curve in done.curves.items():
                hdf5.put_curve(group, f"{kind}/{name}", curve)
        if done := found.get("upscale"):
            self._image(group, "sr", row.upscale, "sr", done)
            hdf5.set_attributes(group, {"device": done.device, "threads": done.threads})
        metrics = found["score"].values if "score" in found else {}
        timed = ("estimate", "upscale") if row.kernel else ()  # the time of an image that was made elsewhere is not known
        seconds = {kind: found[kind].seconds for kind in timed if kind in found}
        warnings = [text for done in found.values() for text in done.warnings]
        for name, value in metrics.items():
            about = {"value": value, "unit": METRICS[name].unit, "higher_is_better": METRICS[name].higher_is_better}
            about |= PROTOCOL | {"shave": scale} if name in ("psnr", "ssim") else {}
            hdf5.set_attributes(group.create_group(f"metrics/{name}"), about)
        failed = next((self.failures[key] for key in row.steps if key in self.failures), None)
        if failed:
            hdf5.set_attributes(group, {"error": failed.message, "traceback": failed.traceback})
        hdf5.set_attributes(group.create_group("seconds"), seconds)
        hdf5.set_attributes(group.create_group("warnings"), {str(n): text for n, text in enumerate(warnings)})
        columns = {"item": row.item, "method": row.method.name, "type": row.method.type or 0, "scale": scale, "seed": row.seed}
        measured = metrics | {f"seconds_{kind}": value for kind, value in seconds.items()}
        if kernel and kernel.expected_error is not None:
            measured["expected_error"] = kernel.expected_error
        numbers = {name: measured.get(name, np.nan) for name in METRICS}
        texts = {"published": row.method.published or "", "error": failed.message if failed else ""}
        self.table.append(columns | numbers | texts)

    def summary(self) -> None:
        group = self.file.create_group("summary")
        for name, first in self.table[0].items():
            column, kind = [row[name] for row in self.table], None
            if isinstance(first, str):
                column = [text.encode(errors="backslashreplace") for text in column]
                kind = h5py.string_dtype("utf-8", max(1, *map(len, column)))
            hdf5.put_array(group, name, np.array(column, dtype=kind))

    def _method(self, row: PlannedRow) -> h5py.Group:
        place, method = f"items/{row.item}/methods/{self.numbers[row.method.name]}", row.method
        if place in self.file:
            return self.file[place]
        about = {"name": method.name, "type": method.type or 0, "published": method.published or ""}
        if row.kernel:
            about |= {"kernel": method.kernel.name, "kernel_version": method.kernel.version}
        group = self.file.create_group(place)
        hdf5.set_attributes(group, about | {"sr": method.sr.name, "sr_version": method.sr.version})
        return group

    def _image(self, group: h5py.Group, name: str, key: str, array: str, done: Outcome) -> None:
        """Write an image of a step: compressed as it is in the step's file, if opening that is faster than compressing it."""
        pixels = done.arrays[array]
        if pixels.nbytes < MIN_COPIED_BYTES:
            hdf5.put_image(group, f"images/{name}", pixels)
        else:
            hdf5.copy_image(self.steps.path(key), f"arrays/{array}", group.require_group("images"), name)

    def _done(self, key: str | None) -> Outcome | None:
        return self.steps.load(key) if key and key in self.steps else None

    def _kernel_of(self, source: Input | None) -> Kernel | None:
        if isinstance(source, KernelFile):
            with contextlib.suppress(BlindSRError):  # gone since the plan was made: its steps have failed with the reason
                return source.read()
        elif isinstance(source, StepOutput) and (done := self._done(source.key)):
            return done.kernel
        return None


def _git_revision() -> str:
    """The revision of the checkout that blindsr runs from, or an empty text: read from .git, without running git."""
    git = Path(__file__).parents[2] / ".git"
    with contextlib.suppress(OSError):
        head = (git / "HEAD").read_text().strip()
        return (git / head[5:]).read_text().strip() if head.startswith("ref: ") else head
    return ""
