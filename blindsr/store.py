"""Results in HDF5: a file for each step, the consolidated result, and its reader. docs/file-format.md specifies both."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from blindsr import __version__
from blindsr.errors import BlindSRError
from blindsr.files import write_whole
from blindsr.image import read_image
from blindsr.kernel import Kernel
from blindsr.metrics import PROTOCOL
from blindsr.plan import ImageFile, Input, KernelFile, Made, Plan, PlannedItem, Row
from blindsr.steps import Outcome

ENCODING_VERSION = "0.1.0"
READABLE = ("0.1.",)
UNITS = {"psnr": "dB", "residual_stored": "levels of 255", "residual_moved": "levels of 255"}
METRICS = {"psnr": True, "ssim": True, "kernel_l2": False, "kernel_correlation": True}
"""The metrics of a row, and whether more is better."""


@dataclass(frozen=True)
class Failure:
    """Why a step has no outcome; `traceback` only where a defect, not the input, is the cause."""

    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Done:
    """A finished step as it is stored."""

    outcome: Outcome
    device: str
    threads: int


class DamagedStepError(BlindSRError):
    """A step file that cannot be read, and has been set aside."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class StepStore:
    """The folder of finished steps: ``<key>.h5`` each, whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """The file of a step."""
        return self.folder / f"{key}.h5"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def save(self, key: str, kind: str, done: Done) -> None:
        """Write a finished step."""

        def write(path: Path) -> None:
            with _new_file(path, "blindsr-step") as file:
                _attributes(
                    file,
                    {"key": key, "kind": kind, "device": done.device, "threads": done.threads, "seconds": done.outcome.seconds},
                )
                _attributes(file.create_group("values"), done.outcome.values)
                _attributes(file.create_group("warnings"), {str(n): text for n, text in enumerate(done.outcome.warnings)})
                for name, array in done.outcome.arrays.items():
                    _dataset(file, f"arrays/{name}", array)
                for name, curve in done.outcome.curves.items():
                    _curve(file, name, curve)
                if done.outcome.kernel:
                    _kernel(file, "kernel", done.outcome.kernel)

        write_whole(self.path(key), write)

    def load(self, key: str) -> Done:
        """Read a finished step.

        Raises
        ------
        DamagedStepError
            If the file is not a whole step file; it is renamed ``<key>.h5.corrupt``, so that the step is done again.
        """
        path = self.path(key)
        try:
            with _opened(path, "blindsr-step") as file:
                if _text(file, "key") != key:
                    raise ValueError("holds another step")
                outcome = Outcome(
                    {name: node[()] for name, node in file["arrays"].items()} if "arrays" in file else {},
                    _read_kernel(file["kernel"]) if "kernel" in file else None,
                    {name: float(value) for name, value in file["values"].attrs.items()},
                    {name: node[()] for name, node in file["curves"].items()} if "curves" in file else {},
                    [_text(file["warnings"], name) for name in sorted(file["warnings"].attrs, key=int)],
                    float(file.attrs["seconds"]),
                )
                return Done(outcome, _text(file, "device"), int(file.attrs["threads"]))
        except (OSError, KeyError, ValueError, TypeError, BlindSRError, RuntimeError) as error:
            aside = path.with_suffix(".h5.corrupt")
            with contextlib.suppress(OSError):
                path.replace(aside)
            raise DamagedStepError(
                key, f"{path}: not a whole step file ({error}); set aside as {aside.name}, a run will compute it again"
            ) from None


def write_result(path: Path, plan: Plan, steps: StepStore, failures: Mapping[str, Failure], provenance: Mapping[str, Any]) -> None:
    """Consolidate all that is finished of a plan into one file.

    It is written step by step to the disk beside its place and then renamed, so its size is not bounded by memory.
    """

    def write(part: Path) -> None:
        with _new_file(part, "blindsr-result") as file:
            _attributes(file, {"git_revision": provenance.get("git_revision", "")})
            group = file.create_group("provenance")
            _attributes(group, {k: v for k, v in provenance.items() if k != "git_revision"})
            writer = _ResultWriter(file, steps, failures)
            for planned in plan.items:
                writer.item(planned)
            for row in plan.rows:
                writer.row(row, plan.pipeline.scale)
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
        source = next(image for image in (planned.lr, planned.hr) if isinstance(image, ImageFile))
        notes: list[str] = []
        for name, image in (("lr", planned.lr), ("hr", planned.hr)):
            if isinstance(image, ImageFile):
                with contextlib.suppress(BlindSRError):  # an unreadable image has failed its steps, which say so
                    picture = read_image(image.path)
                    notes += picture.notes
                    _image(group, f"images/{name}", picture.pixels)
            elif isinstance(image, Made) and (done := self._done(image.key)):
                _image(group, f"images/{name}", done.outcome.arrays[image.what])
        _attributes(group, {"input": str(source.path), "sha256": source.sha256, "notes": "; ".join(dict.fromkeys(notes))})
        if planned.true and (kernel := self._kernel_of(planned.true)):
            node = _kernel(group, "kernel/true", kernel)
            if isinstance(planned.true, Made) and (done := self._done(planned.true.key)):
                _attributes(node, done.outcome.values)

    def row(self, row: Row, scale: int) -> None:
        methods = self.file.require_group(f"items/{row.item}/methods")
        name = next((n for n, node in methods.items() if _text(node, "name") == row.method.name), str(len(methods)))
        method = methods.require_group(name)
        _attributes(method, {"name": row.method.name, "type": row.method.type or 0, "published": row.method.published or ""})
        _attributes(method, {"kernel": row.method.kernel.name, "sr": row.method.sr.name})
        group = method.create_group(str(row.seed))
        if kernel := self._kernel_of(row.kernel):
            _kernel(group, "kernel/estimated", kernel)
        metrics, seconds, warnings = self._steps(row, group, scale)
        failed = next((self.failures[key] for key in row.steps if key in self.failures), None)
        if failed:
            _attributes(group, {"error": failed.message, "traceback": failed.traceback})
        _attributes(group.require_group("seconds"), seconds)
        _attributes(group.require_group("warnings"), {str(n): text for n, text in enumerate(warnings)})
        columns = {"item": row.item, "method": row.method.name, "type": row.method.type or 0, "scale": scale, "seed": row.seed}
        numbers = {name: metrics.get(name, np.nan) for name in METRICS}
        times = {f"seconds_{kind}": seconds.get(kind, np.nan) for kind in ("estimate", "upscale")}
        self.table.append(
            columns | numbers | times | {"published": row.method.published or "", "error": failed.message if failed else ""}
        )

    def _steps(self, row: Row, group: h5py.Group, scale: int) -> tuple[dict[str, float], dict[str, float], list[str]]:
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
                _curve(group, f"{kind}/{name}", curve)
            if kind == "upscale":
                _image(group, "images/sr", done.outcome.arrays["sr"])
            if kind == "score":
                metrics = done.outcome.values
            else:
                seconds[kind] = done.outcome.seconds
        for name, value in metrics.items():
            about = {"value": value, "unit": UNITS.get(name, "1"), "higher_is_better": METRICS[name]}
            about |= PROTOCOL | {"shave": scale} if name in ("psnr", "ssim") else {}
            _attributes(group.require_group(f"metrics/{name}"), about)
        return metrics, seconds, warnings

    def summary(self) -> None:
        group = self.file.create_group("summary")
        for name in self.table[0]:
            column = [row[name] for row in self.table]
            if isinstance(column[0], str):
                encoded = [text.encode() for text in column]
                kind = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
                _dataset(group, name, np.array(encoded, dtype=kind))
            else:
                _dataset(group, name, np.array(column))

    def _done(self, key: str | None) -> Done | None:
        return self.steps.load(key) if key and key in self.steps else None

    def _kernel_of(self, source: Input) -> Kernel | None:
        if isinstance(source, KernelFile):
            return source.read()
        done = self._done(source.key)
        return done.outcome.kernel if done else None


class Result:
    """A consolidated result file, open for reading; also a context manager.

    The columns of the summary, one value for each (item, method, seed), are in `columns`; `file` is the HDF5 file itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        try:
            self.file: h5py.File = self._stack.enter_context(_opened(path, "blindsr-result"))
            self.columns: dict[str, NDArray[Any]] = {
                name: node.asstr()[()] if h5py.check_string_dtype(node.dtype) else node[()]
                for name, node in self.file["summary"].items()
            }
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            self._stack.close()
            raise BlindSRError(f"{path}: not a readable result file ({error})") from None

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

    def image(self, item: str, which: str) -> NDArray[Any] | None:
        """The ``lr`` or ``hr`` image of an item (H, W, 3), uint8 or uint16; None where there is none."""
        return self._array(f"items/{item}/images/{which}")

    def sr(self, item: str, method: str, seed: int) -> NDArray[Any] | None:
        """The SR image of a row, likewise."""
        return self._array(f"{self._row(item, method, seed)}/images/sr")

    def kernel(self, item: str, method: str | None = None, seed: int = 0) -> Kernel | None:
        """The kernel that a method used on an item, or without a method the item's true kernel."""
        place = f"items/{item}/kernel/true" if method is None else f"{self._row(item, method, seed)}/kernel/estimated"
        return _read_kernel(self.file[place]) if place in self.file else None

    def curves(self, item: str, method: str, seed: int) -> dict[str, NDArray[np.float64]]:
        """Curves by name, each of (step, value) rows."""
        found: dict[str, NDArray[np.float64]] = {}
        place = f"{self._row(item, method, seed)}/curves"
        if place in self.file:
            self.file[place].visititems(
                lambda name, node: found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None
            )
        return found

    def _row(self, item: str, method: str, seed: int) -> str:
        methods = f"items/{item}/methods"
        number = next((n for n, node in self.file.get(methods, {}).items() if _text(node, "name") == method), None)
        return f"{methods}/{number}/{seed}"

    def _array(self, place: str) -> NDArray[Any] | None:
        return self.file[place][()] if place in self.file else None


def open_result(path: str | Path) -> Result:
    """Open a result: ``result.h5``, or the folder that holds it.

    Raises
    ------
    BlindSRError
        If it is missing, no result of blindsr, damaged, or of a version that this blindsr cannot read.
    """
    path = Path(path)
    path = path / "result.h5" if path.is_dir() else path
    if not path.is_file():
        raise BlindSRError(f"{path}: no such file")
    return Result(path)


def provenance(plan: Plan, plugins: Sequence[Mapping[str, str]], *, device: str, threads: int) -> dict[str, Any]:
    """What made a result, as the attributes of ``/provenance``."""
    return {
        "pipeline_yaml": plan.pipeline.text,
        "resolved_config": json.dumps(plan.pipeline.resolved()),
        "plugins": json.dumps(list(plugins)),
        "device": device,
        "threads": threads,
        "seeds": json.dumps(list(plan.pipeline.seeds)),
        "weights": json.dumps([]),
        "left_out": "; ".join(plan.left_out),
        "git_revision": _git_revision(),
    }


def _git_revision() -> str:
    """The revision of the checkout that blindsr runs from, or nothing: read from .git, without running git."""
    git = Path(__file__).parent.parent / ".git"
    with contextlib.suppress(OSError):
        head = (git / "HEAD").read_text().strip()
        return (git / head[5:]).read_text().strip() if head.startswith("ref: ") else head
    return ""


@contextlib.contextmanager
def _new_file(path: Path, encoding_type: str) -> Iterator[h5py.File]:
    # The v1.10 layout keeps a checksum with every piece of metadata, as Fletcher-32 does for the datasets.
    with h5py.File(path, "w", libver=("v110", "v110"), track_order=True) as file:
        _attributes(file, {"encoding-type": encoding_type, "encoding-version": ENCODING_VERSION, "creator": "blindsr"})
        _attributes(file, {"creator_version": __version__, "file_time": datetime.now(UTC).isoformat(timespec="seconds")})
        _attributes(file, {f"version_{name}": text for name, text in _versions().items()})
        yield file


@contextlib.contextmanager
def _opened(path: Path, encoding_type: str) -> Iterator[h5py.File]:
    with h5py.File(path, "r") as file:
        found = _text(file, "encoding-type")
        if found != encoding_type:
            raise ValueError(f"it is a {found} file, not a {encoding_type}" if found else f"it is no {encoding_type} file")
        number = _text(file, "encoding-version")
        if not number.startswith(READABLE):
            raise ValueError(f"it has format version {number}; this blindsr reads {', '.join(READABLE)}x")
        yield file


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for name in ("h5py", "numpy", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _attributes(group: h5py.Group | h5py.Dataset, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, str):
            data = value.encode()
            # Of fixed length: variable-length strings lie in HDF5's global heap, which has no checksum.
            group.attrs.create(name, np.array(data or b"\0", dtype=h5py.string_dtype("utf-8", max(1, len(data)))))
        else:
            group.attrs[name] = value


def _text(group: h5py.Group, name: str) -> str:
    """A text attribute, empty where there is none."""
    value = group.attrs.get(name, "")
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)


def _dataset(group: h5py.Group, name: str, array: NDArray[Any]) -> h5py.Dataset:
    chunks = tuple(min(size, 256) for size in array.shape) or None
    return group.create_dataset(
        name, data=array, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True, fletcher32=True
    )


def _image(group: h5py.Group, name: str, pixels: NDArray[Any]) -> None:
    node = _dataset(group, name, pixels)
    about = {"CLASS": "IMAGE", "IMAGE_VERSION": "1.2", "IMAGE_SUBCLASS": "IMAGE_TRUECOLOR", "INTERLACE_MODE": "INTERLACE_PIXEL"}
    _attributes(node, about | {"axes": "yxc", "color_space": "sRGB", "data_range": int(np.iinfo(pixels.dtype).max)})


def _curve(group: h5py.Group, name: str, curve: NDArray[np.float64]) -> None:
    _attributes(_dataset(group, f"curves/{name}", curve), {"axes": "step, value"})


def _kernel(group: h5py.Group, name: str, kernel: Kernel) -> h5py.Dataset:
    node = _dataset(group, name, kernel.array)
    _attributes(node, {"axes": "yx", "scale": kernel.scale, "origin": "correlation; centre of mass at size // 2 + (scale - 1) / 2"})
    if kernel.half:
        _attributes(_dataset(group, f"{name}_half", kernel.half.array), {"axes": "yx", "scale": kernel.half.scale})
    return node


def _read_kernel(node: h5py.Dataset) -> Kernel:
    half = node.parent.get(node.name.rsplit("/", 1)[1] + "_half")
    return Kernel(node[()], int(node.attrs["scale"]), Kernel(half[()], int(half.attrs["scale"])) if half is not None else None)
