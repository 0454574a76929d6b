"""The reader of the consolidated result. docs/file-format.md specifies the file."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError, shortened, suggestion
from blindsr.imaging.kernel import Kernel
from blindsr.imaging.metrics import METRICS
from blindsr.storage.hdf5 import dataset, get_kernel, get_text, opened, read, reason

RESULT_FILE = "result.h5"
TEXT_COLUMNS = ("item", "method", "published", "error")
INTEGER_COLUMNS = ("type", "scale", "seed")
SUMMARY_COLUMNS = (*TEXT_COLUMNS, *INTEGER_COLUMNS, *METRICS)
ADDED_COLUMNS = ("expected_error",)
"""Columns that older files lack: NaN there."""
SECONDS = "seconds_"
T = TypeVar("T")


class Result:
    """A result, open for reading; also a context manager. Images are (H, W, 3) arrays, uint8 or uint16.

    A row is what one method made of one item with one seed. Where a method takes `seed`, it may be left out: it is the first then.
    All methods raise `BlindSRError` for an item, a method or a seed that is not in the result, for damaged parts of the file,
    and after `close`.

    Attributes
    ----------
    path
        The file.
    data
        The name of the images' set.
    config
        All settings of the pipeline, by name.
    rows
        The rows, as (item, method, seed), and the place of each in `columns`.
    columns
        The summary: one array a column, one value a row. Numbers that are absent are NaN.
    file
        The HDF5 file itself.

    Examples
    --------
    >>> with open_result("runs/kernelgan_zssr-sample-astronaut-x2") as result:  # doctest: +SKIP
    ...     sr = result.sr("astronaut", "KernelGAN + ZSSR")
    ...     print(result.to_pandas()[["method", "psnr", "ssim"]])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        self._groups: dict[str, dict[str, str]] = {}  # of each item: its methods' groups
        try:
            self.file: h5py.File = self._stack.enter_context(opened(path, "blindsr-result"))
            self.columns: dict[str, NDArray[Any]] = {name: _column(self.file, name) for name in SUMMARY_COLUMNS}
            if len({column.shape for column in self.columns.values()}) > 1 or not len(self.columns["item"]):
                raise ValueError("its summary's columns are empty or differ in length")
            provenance = self.file.get("provenance")
            self.config: dict[str, Any] = dict(json.loads(get_text(provenance, "resolved_config") or "{}") if provenance else {})
            self.data = get_text(self.file, "data") or re.sub(r"-x\d$", "", path.parent.name.removeprefix(f"{self.pipeline}-"))
        except Exception as error:  # h5py raises exceptions of many types for damaged files
            self._stack.close()
            raise BlindSRError(f"{path}: not a readable result file ({reason(error)})") from None
        names = (map(str, self.columns["item"]), map(str, self.columns["method"]), map(int, self.columns["seed"]))
        self.rows = {row: n for n, row in enumerate(zip(*names, strict=True))}
        kinds = zip(("item", "method", "seed"), zip(*self.rows, strict=True), strict=True)
        self._names: dict[str, dict[Any, None]] = {"image": {"lr": None, "hr": None}}
        self._names |= {kind: dict.fromkeys(found) for kind, found in kinds}

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = "; ".join(f"{kind} {shortened([*map(str, self._names[kind])])}" for kind in ("item", "method", "seed"))
        return f"<Result {self.path}: {self.pipeline} on {self.data}; {names}{'' if self.file else '; closed'}>"

    @property
    def pipeline(self) -> str:
        """The name of the pipeline, empty where the file does not say."""
        name = self.config.get("name")
        return name if isinstance(name, str) else ""

    @property
    def items(self) -> list[str]:
        """Names of the items, in order."""
        return list(self._names["item"])

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        return list(self._names["method"])

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return list(self._names["seed"])

    def settings(self, method: str) -> Mapping[str, Any]:
        """A method's part of `config` (``kernel``, ``sr``, ``published``, ...), empty where the file does not have it."""
        self._check("method", method)
        methods = self.config.get("methods")
        settings = methods.get(method) if isinstance(methods, dict) else None
        return settings if isinstance(settings, dict) else {}

    def source(self, item: str) -> tuple[str, str]:
        """The path of the file that an item was read from, and its SHA-256."""
        node = self._read(self._item(item), lambda file, place: (get_text(file[place], "input"), get_text(file[place], "sha256")))
        if node is None:
            raise BlindSRError(f"{self.path}: {self._item(item)}: is missing")
        return node

    def identity(self, item: str) -> str:
        """What distinguishes an item's images from others: the SHA-256 of its file, and how LR images were made of HR ones."""
        data = self.config.get("data")
        stored = isinstance(data, dict) and data.keys() & {"lr", "div2krk"}
        degradation = [] if stored else [self.config.get(name) for name in ("degradation", "data_seed")]
        return json.dumps([self.source(item)[1], *degradation])

    def image(self, item: str, which: Literal["lr", "hr"]) -> NDArray[Any] | None:
        """The LR or the HR image of an item; None where there is none."""
        self._check("image", which)
        return self._read(f"{self._item(item)}/images/{which}", _pixels)

    def sr(self, item: str, method: str, seed: int | None = None) -> NDArray[Any] | None:
        """The SR image of a row; None where its steps failed or are not done."""
        return self._read(f"{self._row(item, method, seed)}/images/sr", _pixels)

    def has_sr(self, item: str, method: str, seed: int | None = None) -> bool:
        """Whether a row has its SR image."""
        return self._read(f"{self._row(item, method, seed)}/images/sr", lambda file, place: True) or False

    def kernel(self, item: str, method: str | None = None, seed: int | None = None) -> Kernel | None:
        """The kernel that a method used on an item; without a method the item's true kernel. None where there is none."""
        place = f"{self._item(item)}/kernel/true" if method is None else f"{self._row(item, method, seed)}/kernel/estimated"
        return self._read(place, get_kernel)

    def curves(self, item: str, method: str, seed: int | None = None) -> dict[str, NDArray[np.float64]]:
        """The curves of a row by name, such as ``upscale/loss``: arrays (n, 2) of step and value."""

        def get(file: h5py.File, place: str) -> dict[str, NDArray[np.float64]]:
            names = [f"{kind}/{name}" for kind in file[place] for name in file[f"{place}/{kind}"]]
            return {name: read(file, f"{place}/{name}") for name in names}

        return self._read(f"{self._row(item, method, seed)}/curves", get) or {}

    def metrics(self, item: str, method: str, seed: int | None = None) -> dict[str, float]:
        """The metrics of a row by name, without those that are absent."""
        return {name: value for name, value in self._numbers(item, method, seed).items() if not name.startswith(SECONDS)}

    def seconds(self, item: str, method: str, seed: int | None = None) -> dict[str, float]:
        """The wall-clock seconds of a row's steps: ``estimate`` and ``upscale``, without those that are absent."""
        numbers = self._numbers(item, method, seed)
        return {name.removeprefix(SECONDS): value for name, value in numbers.items() if name.startswith(SECONDS)}

    def warnings(self, item: str, method: str, seed: int | None = None) -> list[str]:
        """The warnings of a row's steps."""

        def get(file: h5py.File, place: str) -> list[str]:
            return [get_text(file[place], name) for name in sorted(file[place].attrs, key=int)]

        return self._read(f"{self._row(item, method, seed)}/warnings", get) or []

    def to_pandas(self) -> Any:
        """The summary as a ``pandas.DataFrame``: one line for each row."""
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise BlindSRError("to_pandas needs the package pandas; install it with: pip install pandas") from None
        return pandas.DataFrame(self.columns)

    def verify(self) -> None:
        """Read everything that the other methods give, for an error where shapes or types are wrong."""
        for item in self.items:
            self.source(item)
            self.image(item, "lr")
            self.image(item, "hr")
            self.kernel(item)
        for row in self.rows:
            self.sr(*row)
            self.kernel(*row)
            self.curves(*row)
            self.warnings(*row)

    def _check(self, kind: str, name: object) -> None:
        if name not in self._names[kind]:
            known = list(map(str, self._names[kind]))
            hint = suggestion(str(name), known) or f"; it has {shortened(known)}"
            raise BlindSRError(f"{self.path}: no {kind} '{name}'{hint}")

    def _item(self, item: str) -> str:
        self._check("item", item)
        return f"items/{item}"

    def _key(self, item: str, method: str, seed: int | None) -> tuple[str, str, int]:
        self._check("item", item)
        self._check("method", method)
        if seed is None:
            seed = next((s for s in self.seeds if (item, method, s) in self.rows), self.seeds[0])
        self._check("seed", seed)
        if (item, method, seed) not in self.rows:
            raise BlindSRError(f"{self.path}: method '{method}' was not run on item '{item}' with seed {seed}")
        return item, method, seed

    def _row(self, item: str, method: str, seed: int | None) -> str:
        item, method, seed = self._key(item, method, seed)
        methods = f"items/{item}/methods"
        if item not in self._groups:
            named = self._read(methods, lambda file, place: {get_text(node, "name"): n for n, node in file[place].items()})
            self._groups[item] = named or {}
        return f"{methods}/{self._groups[item].get(method)}/{seed}"

    def _numbers(self, item: str, method: str, seed: int | None) -> dict[str, float]:
        row = self.rows[self._key(item, method, seed)]
        return {name: float(self.columns[name][row]) for name in METRICS if not np.isnan(self.columns[name][row])}

    def _read(self, place: str, get: Callable[[h5py.File, str], T]) -> T | None:
        """What `get` makes of a place in the file, None where there is no such place."""
        if not self.file:
            raise BlindSRError(f"{self.path}: this result is closed; open it again with open_result")
        try:
            return get(self.file, place) if place in self.file else None
        except Exception as error:  # h5py raises exceptions of many types for damaged files
            raise BlindSRError(f"{self.path}: {place}: damaged ({reason(error)})") from None


def open_result(path: str | Path) -> Result:
    """Open a result: ``result.h5``, or the folder that holds it.

    Raises
    ------
    BlindSRError
        If it is missing, no result of blindsr, damaged, or of a version that this blindsr cannot read.
    """
    path = Path(path)
    file = path / RESULT_FILE if path.is_dir() else path
    if file.is_file():
        return Result(file)
    inside = sorted(str(found.parent) for found in path.glob(f"*/{RESULT_FILE}"))
    if inside:
        raise BlindSRError(f"{path}: holds results; name one of them: {shortened(inside)}")
    raise BlindSRError(f"{file}: no such file")


def _pixels(file: h5py.File, place: str) -> NDArray[Any]:
    pixels = read(file, place)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError("no RGB image")
    return pixels


def _column(file: h5py.File, name: str) -> NDArray[Any]:
    if name in ADDED_COLUMNS and f"summary/{name}" not in file:
        return np.full(dataset(file, "summary/item").shape, np.nan)
    node = dataset(file, f"summary/{name}")
    values: NDArray[Any] = node.asstr()[()] if h5py.check_string_dtype(node.dtype) else node[()]
    kinds = "O" if name in TEXT_COLUMNS else "iu" if name in INTEGER_COLUMNS else "f"  # of numpy's types
    if values.ndim != 1 or values.dtype.kind not in kinds:
        raise ValueError(f"its column '{name}' has the wrong type or shape")
    return values
