"""Data sets as named items: a folder of HR images, LR images, a set in DIV2KRK's layout, sample photographs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError, alternatives
from blindsr.imaging.reader import SUFFIXES

SAMPLES = ("astronaut", "chelsea", "coffee")
"""Sample photographs, which come with scikit-image."""


@dataclass(frozen=True)
class Item:
    """One image of a dataset: its unique name in results, and its files.

    Where there is only `hr`, the LR image is made by a degradation. `half_kernel` is the x2 kernel that goes with a x4 `kernel`.
    """

    id: str
    lr: Path | None = None
    hr: Path | None = None
    kernel: Path | None = None
    half_kernel: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """Named items, in the order of their names."""

    name: str
    items: tuple[Item, ...]


def sample(names: Sequence[str]) -> Dataset:
    """HR photographs that come with scikit-image: `SAMPLES`."""
    import skimage

    for name in names:
        if name not in SAMPLES:
            raise BlindSRError(f"unknown sample '{name}'{alternatives(name, SAMPLES)}")
    names = list(dict.fromkeys(names))
    folder = Path(skimage.__file__).parent / "data"
    return Dataset("-".join(("sample", *names)), tuple(Item(name, hr=folder / f"{name}.png") for name in names))


def hr_folder(folder: Path) -> Dataset:
    """Every image of a folder as an HR image."""
    items = tuple(Item(name, hr=path) for name, path in _named(_images_in(folder)))
    return Dataset(_label(folder), items)


def lr_images(paths: Sequence[Path], suffixes: Sequence[str] = SUFFIXES) -> Dataset:
    """LR images without HR images: files, folders (of which those with the suffixes are taken), or both."""
    if not paths:
        raise BlindSRError("no LR images were named")
    files = [file for path in paths for file in (_images_in(path, suffixes) if path.is_dir() else [_existing(path)])]
    name = _label(paths[0]) if len(paths) == 1 and paths[0].is_dir() else files[0].stem if len(files) == 1 else "photos"
    return Dataset(name, tuple(Item(name, lr=path) for name, path in _named(files)))


def div2krk(folder: Path, scale: int) -> Dataset:
    """A set in DIV2KRK's layout, as its archive unpacks.

    ``lr_xS/im_N.png`` are needed; the folders ``gt`` with ``img_N_gt.png`` and ``gt_k_xS`` with ``kernel_N.mat`` may be absent.
    All of them may lie one folder deeper. A folder that lacks the file of an LR image is an error.
    """
    if not folder.is_dir():
        raise BlindSRError(f"{folder}: no such folder")
    label, folder = _label(folder), _unpacked(folder)
    lr_folder = folder / f"lr_x{scale}"
    if not lr_folder.is_dir():
        there = ", ".join(sorted(path.name for path in folder.glob("lr_x*")))
        raise BlindSRError(
            f"{folder}: no folder lr_x{scale}; {f'it has {there}' if there else 'this is not the layout of DIV2KRK'}"
        )
    pattern = re.compile(r"im_(\d+)\.png")
    numbers = sorted((m[1] for path in lr_folder.iterdir() if (m := pattern.fullmatch(path.name))), key=int)
    if not numbers:
        raise BlindSRError(f"{lr_folder}: holds no im_N.png")

    def beside(subfolder: str, file: str) -> Path | None:
        return _existing(folder / subfolder / file) if (folder / subfolder).is_dir() else None

    def item(n: str) -> Item:
        hr, kernel = beside("gt", f"img_{n}_gt.png"), beside(f"gt_k_x{scale}", f"kernel_{n}.mat")
        return Item(f"im_{n}", lr_folder / f"im_{n}.png", hr, kernel, beside("gt_k_x2", f"kernel_{n}.mat") if scale == 4 else None)

    return Dataset(label, tuple(map(item, numbers)))


def _unpacked(folder: Path) -> Path:
    """The folder with the set: this one, or the only folder in it with the layout, as archives often unpack."""
    inner = {path.parent for path in folder.glob("*/lr_x*") if not path.parent.name.startswith((".", "__"))}
    return inner.pop() if len(inner) == 1 and not any(folder.glob("lr_x*")) else folder


def _label(folder: Path) -> str:
    return folder.resolve().name or "root"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BlindSRError(f"{path}: no such file")
    return path


def _images_in(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    if not folder.is_dir():
        raise BlindSRError(f"{folder}: no such folder")
    files = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file()]
    if not files:
        raise BlindSRError(f"{folder}: holds no images ({', '.join(s[1:] for s in suffixes)})")
    return sorted(files, key=lambda path: [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", path.name)])


def _named(files: Iterable[Path]) -> list[tuple[str, Path]]:
    """Files with an id each: the stem, or the whole name where several have that stem."""
    files = list(dict.fromkeys(files))
    stems = Counter(path.stem for path in files)
    named: dict[str, Path] = {}
    for path in files:
        name = _safe(path.stem if stems[path.stem] == 1 else path.name)
        if name in named:
            raise BlindSRError(f"{named[name]} and {path}: both would be called '{name}' in the result; rename one of them")
        named[name] = path
    return list(named.items())


def _safe(name: str) -> str:
    """The name as HDF5 and every file system takes it: bytes that are not UTF-8 are escaped, ``.`` and ``..`` are extended."""
    text = name.encode(errors="backslashreplace").decode()
    return text if text.strip(".") else f"{text}_"
