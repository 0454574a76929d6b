"""The consolidated result: its writer and its reader. docs/file-format.md specifies the file."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.files import write_whole
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import PROTOCOL
from blindsr.pipeline.outcome import Failure
from blindsr.pipeline.plan import Plan
from blindsr.pipeline.steps import ImageFile, Input, KernelFile, PlannedItem, PlannedRow, StepOutput
from blindsr.storage.hdf5 import (
    copy_image,
    dataset,
    get_kernel,
    get_text,
    new_file,
    opened,
    put_array,
    put_curve,
    put_image,
    put_kernel,
    read,
    set_attributes,
)
from blindsr.storage.step_store import Done, StepStore

RESULT_FILE = "result.h5"
UNITS = {"psnr": "dB", "residual_stored": "levels of 255", "residual_moved": "levels of 255"}
METRICS = {"psnr": True, "ssim": True, "kernel_l2": False, "kernel_correlation": True}
"""The metrics of a row, and whether more is better."""
TEXTS = ("item", "method", "published", "error")
INTEGERS = ("type", "scale", "seed")
COLUMNS = (*TEXTS, *INTEGERS, *METRICS, "seconds_estimate", "seconds_upscale")
T = TypeVar("T")


def write_result(
    path: Path,
    plan: Plan,
    steps: StepStore,
    failures: Mapping[str, Failure],
    provenance: Mapping[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Consolidate all that is finished of a plan into one file; `progress` hears how many of its items and rows are written.

    It is written step by step to the disk beside its place and then renamed, so its size is not bounded by memory.
    """

    def write(part: Path) -> None:
        with new_file(part, "blindsr-result") as file:
            set_attributes(file, {"data": plan.dataset.name, "git_revision": provenance.get("git_revision", "")})
            group = file.create_group("provenance")
            set_attributes(group, {k: v for k, v in provenance.items() if k != "git_revision"})
            writer = _ResultWriter(file, steps, failures)
            parts = len(plan.items) + len(plan.rows)
            for number, planned in enumerate(plan.items, 1):
                writer.item(planned)
                progress(number, parts)
            for number, row in enumerate(plan.rows, 1 + len(plan.items)):
                writer.row(row, plan.pipeline.scale)
                progress(number, parts)
            writer.summary()

    write_whole(path, write)


@dataclass
class _ResultWriter:
    file: h5py.File
    steps: StepStore
    failures: Mapping[str, Failure]
    table: list[dict[str, Any]] = field(default_factory=list)

    def item(self, planned: PlannedItem) -> None:
        group = self.file.create_group(f"items/{planned.item.id}")
        notes: list[str] = []
        for name, image in (("lr", planned.lr), ("hr", planned.hr)):
            if isinstance(image, ImageFile):
                with contextlib.suppress(BlindSRError):  # unreadable, or changed meanwhile: its steps have failed, and say so
                    picture = image.read()
                    notes += picture.notes
                    put_image(group, f"images/{name}", picture.pixels)
            elif isinstance(image, StepOutput) and (done := self._done(image.key)):
                copy_image(self.steps.path(image.key), f"arrays/{image.what}", group.require_group("images"), name)
        set_attributes(
            group, {"input": str(planned.source.path), "sha256": planned.source.sha256, "notes": "; ".join(dict.fromkeys(notes))}
        )
        if planned.true and (kernel := self._kernel_of(planned.true)):
            node = put_kernel(group, "kernel/true", kernel)
            if isinstance(planned.true, StepOutput) and (done := self._done(planned.true.key)):
                set_attributes(node, done.outcome.values)

    def row(self, row: PlannedRow, scale: int) -> None:
        methods = self.file.require_group(f"items/{row.item}/methods")
        name = next((n for n, node in methods.items() if get_text(node, "name") == row.method.name), str(len(methods)))
        method = methods.require_group(name)
        set_attributes(method, {"name": row.method.name, "type": row.method.type or 0, "published": row.method.published or ""})
        if row.kernel:
            set_attributes(method, {"kernel": row.method.kernel.name, "kernel_version": row.method.kernel.version})
        set_attributes(method, {"sr": row.method.sr.name, "sr_version": row.method.sr.version})
        group = method.create_group(str(row.seed))
        if row.kernel and (kernel := self._kernel_of(row.kernel)):
            put_kernel(group, "kernel/estimated", kernel)
        metrics, seconds, warnings = self._steps(row, group, scale)
        failed = next((self.failures[key] for key in row.steps if key in self.failures), None)
        if failed:
            set_attributes(group, {"error": failed.message, "traceback": failed.traceback})
        set_attributes(group.require_group("seconds"), seconds)
        set_attributes(group.require_group("warnings"), {str(n): text for n, text in enumerate(warnings)})
        columns = {"item": row.item, "method": row.method.name, "type": row.method.type or 0, "scale": scale, "seed": row.seed}
        numbers = {name: metrics.get(name, np.nan) for name in METRICS}
        times = {f"seconds_{kind}": seconds.get(kind, np.nan) for kind in ("estimate", "upscale")}
        self.table.append(
            columns | numbers | times | {"published": row.method.published or "", "error": failed.message if failed else ""}
        )

    def _steps(self, row: PlannedRow, group: h5py.Group, scale: int) -> tuple[dict[str, float], dict[str, float], list[str]]:
        """Copy what the row's own steps gave."""
        metrics: dict[str, float] = {}
        seconds: dict[str, float] = {}
        warnings: list[str] = []
        for kind, key in (("estimate", row.estimate), ("upscale", row.upscale), ("score", row.score)):
            done = self._done(key)
            if not done:
                continue
            warnings += done.outcome.warnings
            for name, curve in done.outcome.curves.items():
                put_curve(group, f"{kind}/{name}", curve)
            if "sr" in done.outcome.arrays:
                copy_image(self.steps.path(str(key)), "arrays/sr", group.require_group("images"), "sr")
                set_attributes(group, {"device": done.device, "threads": done.threads})
            if kind == "score":
                metrics = done.outcome.values
            elif kind == "estimate" or row.kernel:  # nobody knows how long an image took that was made elsewhere
                seconds[kind] = done.outcome.seconds
        for name, value in metrics.items():
            about = {"value": value, "unit": UNITS.get(name, "1"), "higher_is_better": METRICS[name]}
            about |= PROTOCOL | {"shave": scale} if name in ("psnr", "ssim") else {}
            set_attributes(group.require_group(f"metrics/{name}"), about)
        return metrics, seconds, warnings

    def summary(self) -> None:
        group = self.file.create_group("summary")
        for name in self.table[0]:
            column = [row[name] for row in self.table]
            if isinstance(column[0], str):
                encoded = [text.encode(errors="backslashreplace") for text in column]
                kind = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
                put_array(group, name, np.array(encoded, dtype=kind))
            else:
                put_array(group, name, np.array(column))

    def _done(self, key: str | None) -> Done | None:
        return self.steps.load(key) if key and key in self.steps else None

    def _kernel_of(self, source: Input) -> Kernel | None:
        if isinstance(source, KernelFile):
            with contextlib.suppress(BlindSRError):  # gone since the plan was made: its steps have failed, and say so
                return source.read()
            return None
        done = self._done(source.key) if isinstance(source, StepOutput) else None
        return done.outcome.kernel if done else None


class Result:
    """A consolidated result file, open for reading; also a context manager.

    The columns of the summary, one value for each (item, method, seed), are in `columns`; `data` is the name of its data, `config`
    holds all settings of its pipeline; `file` is the HDF5 file itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        self._numbers: dict[str, dict[str, str]] = {}  # of each item's methods
        try:
            self.file: h5py.File = self._stack.enter_context(opened(path, "blindsr-result"))
            self.columns: dict[str, NDArray[Any]] = {name: _column(self.file, name) for name in COLUMNS}
            if len({column.shape for column in self.columns.values()}) > 1 or not len(self.columns["item"]):
                raise ValueError("its summary's columns are empty or differ in length")
            self.config = _config(self.file)
            self.data = get_text(self.file, "data") or re.sub(r"-x\d$", "", path.parent.name.removeprefix(f"{self.pipeline}-"))
        except Exception as error:  # a damaged or hostile file can make h5py raise anything
            self._stack.close()
            raise BlindSRError(f"{path}: not a readable result file ({_reason(error)})") from None

    @property
    def pipeline(self) -> str:
        """The name of its pipeline, empty where it does not say."""
        name = self.config.get("name")
        return name if isinstance(name, str) else ""

    def settings(self, method: str) -> Mapping[str, Any]:
        """A method's part of `config` (``kernel``, ``sr``, ``published``, ...), empty where the file says nothing of it."""
        methods = self.config.get("methods")
        settings = methods.get(method) if isinstance(methods, dict) else None
        return settings if isinstance(settings, dict) else {}

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def items(self) -> list[str]:
        """Item ids, in order."""
        return list(dict.fromkeys(map(str, self.columns["item"])))

    @property
    def methods(self) -> list[str]:
        """Method names, in order."""
        return list(dict.fromkeys(map(str, self.columns["method"])))

    def made_of(self, item: str) -> str:
        """What tells an item's images from others: the SHA-256 of the file, and how LR images were made of HR ones."""
        data = self.config.get("data")
        stored = isinstance(data, dict) and data.keys() & {"lr", "div2krk"}
        made = [] if stored else [self.config.get(name) for name in ("degradation", "data_seed")]
        return json.dumps([self.source(item)[1], *made])

    def source(self, item: str) -> tuple[str, str]:
        """The file that an item was read from, as it was named, and its SHA-256."""
        node = self._read(f"items/{item}", lambda file, place: (get_text(file[place], "input"), get_text(file[place], "sha256")))
        if node is None:
            raise BlindSRError(f"{self.path}: items/{item}: is missing")
        return node

    def image(self, item: str, which: str) -> NDArray[Any] | None:
        """The ``lr`` or ``hr`` image of an item (H, W, 3), uint8 or uint16; None where there is none."""
        return self._array(f"items/{item}/images/{which}")

    def sr(self, item: str, method: str, seed: int) -> NDArray[Any] | None:
        """The SR image of a row, likewise."""
        return self._array(f"{self._row(item, method, seed)}/images/sr")

    def has_sr(self, item: str, method: str, seed: int) -> bool:
        """Whether a row has its SR image."""
        try:
            return f"{self._row(item, method, seed)}/images/sr" in self.file
        except Exception as error:
            raise BlindSRError(f"{self.path}: items/{item}: damaged ({_reason(error)})") from None

    def kernel(self, item: str, method: str | None = None, seed: int = 0) -> Kernel | None:
        """The kernel that a method used on an item, or without a method the item's true kernel."""
        place = f"items/{item}/kernel/true" if method is None else f"{self._row(item, method, seed)}/kernel/estimated"
        return self._read(place, get_kernel)

    def curves(self, item: str, method: str, seed: int) -> dict[str, NDArray[np.float64]]:
        """Curves by name, each of (step, value) rows."""

        def get(file: h5py.File, place: str) -> dict[str, NDArray[np.float64]]:
            names = [f"{kind}/{name}" for kind in file[place] for name in file[f"{place}/{kind}"]]
            return {name: read(file, f"{place}/{name}") for name in names}

        return self._read(f"{self._row(item, method, seed)}/curves", get) or {}

    def verify(self) -> None:
        """Read all that a result is of, as its other methods give it: beyond checksums, also shapes and types.

        Raises
        ------
        BlindSRError
            For the first thing that is not as blindsr writes it.
        """
        for item in self.items:
            self.source(item)
            for which in ("lr", "hr"):
                self.image(item, which)
            self.kernel(item)
        for item, method, seed in zip(*(self.columns[name] for name in ("item", "method", "seed")), strict=True):
            self.sr(item, method, seed)
            self.kernel(item, method, seed)
            self.curves(item, method, seed)

    def _row(self, item: str, method: str, seed: int) -> str:
        methods = f"items/{item}/methods"
        if item not in self._numbers:
            named = self._read(methods, lambda file, place: {get_text(node, "name"): n for n, node in file[place].items()})
            self._numbers[item] = named or {}
        return f"{methods}/{self._numbers[item].get(method)}/{seed}"

    def _array(self, place: str) -> NDArray[Any] | None:
        return self._read(place, _pixels)

    def _read(self, place: str, get: Callable[[h5py.File, str], T]) -> T | None:
        try:
            return get(self.file, place) if place in self.file else None
        except Exception as error:
            raise BlindSRError(f"{self.path}: {place}: damaged ({_reason(error)})") from None


def _pixels(file: h5py.File, place: str) -> NDArray[Any]:
    pixels = read(file, place)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError("no RGB image")
    return pixels


def _column(file: h5py.File, name: str) -> NDArray[Any]:
    node = dataset(file, f"summary/{name}")
    values: NDArray[Any] = node.asstr()[()] if h5py.check_string_dtype(node.dtype) else node[()]
    if values.ndim != 1 or values.dtype.kind not in _kinds(name):
        raise ValueError(f"its column '{name}' is not what it should be")
    return values


def _kinds(name: str) -> str:
    """The kinds of numpy's types that a column may have."""
    return "O" if name in TEXTS else "iu" if name in INTEGERS else "f"


def _config(file: h5py.File) -> dict[str, Any]:
    """The resolved settings of the pipeline."""
    text = get_text(file["provenance"], "resolved_config") if "provenance" in file else ""
    config = json.loads(text or "{}")
    if not isinstance(config, dict):
        raise ValueError("its settings (provenance/resolved_config) are no mapping")
    return config


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def open_result(path: str | Path) -> Result:
    """Open a result: ``result.h5``, or the folder that holds it.

    Raises
    ------
    BlindSRError
        If it is missing, no result of blindsr, damaged, or of a version that this blindsr cannot read.
    """
    path = Path(path)
    path = path / RESULT_FILE if path.is_dir() else path
    if not path.is_file():
        raise BlindSRError(f"{path}: no such file")
    return Result(path)


def provenance(plan: Plan, plugins: Sequence[Mapping[str, str]], device: str, threads: int) -> dict[str, Any]:
    """What made a result, as the attributes of ``/provenance``."""
    return {
        "pipeline_yaml": plan.pipeline.text,
        "resolved_config": json.dumps(plan.pipeline.resolved()),
        "plugins": json.dumps(list(plugins)),
        "device": device,
        "threads": threads,
        "seeds": json.dumps(list(plan.pipeline.seeds)),
        "weights": json.dumps(plan.weights),
        "left_out": "; ".join(plan.left_out),
        "git_revision": _git_revision(),
    }


def _git_revision() -> str:
    """The revision of the checkout that blindsr runs from, or nothing: read from .git, without running git."""
    git = Path(__file__).parents[2] / ".git"
    with contextlib.suppress(OSError):
        head = (git / "HEAD").read_text().strip()
        return (git / head[5:]).read_text().strip() if head.startswith("ref: ") else head
    return ""
