"""Components of the core itself, which depend on the item: kernels ``ground_truth`` and ``given``, SR method ``external``."""

from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from blindsr.components.interfaces import Component
from blindsr.components.parameters import InputFile, InputFolder
from blindsr.errors import BlindSRError


class GroundTruth(Component):
    """The true kernel of the item, where the data have one."""

    name: ClassVar[str] = "ground_truth"


class Given(Component):
    """Kernels from files: one for all items, or a folder of them."""

    name: ClassVar[str] = "given"

    file: InputFile | None = None
    """The kernel of every item (.mat or .npy)."""
    folder: InputFolder | None = None
    """A folder with a kernel for each item: ITEM.mat, ITEM.npy, or kernel_N.mat for the item im_N."""
    convention: Literal["kernelgan", "usrnet", "fkp"] = "kernelgan"
    """The tool whose convention the files follow."""
    scale: int | None = Field(None, ge=2, le=4)
    """The scale that the kernels are for, if not the pipeline's: a x2 kernel is composed for x4."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.folder is None):
            raise ValueError("needs either file or folder")
        return self

    def path_for(self, item: str) -> Path:
        """The kernel file of an item; an error if the folder has none for it."""
        if self.file:
            return self.file
        assert self.folder is not None
        names = [f"{item}.mat", f"{item}.npy", f"kernel_{item.removeprefix('im_')}.mat"]
        for name in names:
            if (self.folder / name).is_file():
                return self.folder / name
        raise BlindSRError(f"{self.folder}: no kernel for item '{item}'; expected {', '.join(names[:-1])} or {names[-1]}")


class External(Component):
    """SR images made elsewhere, by whatever method: a folder of them becomes a row."""

    name: ClassVar[str] = "external"

    folder: InputFolder
    """A folder with the SR image of each item: ITEM.png, or with another image ending."""

    def path_for(self, item: str) -> Path:
        """The SR image of an item; the error for none, or more than one, says what was expected and what is there."""
        from blindsr.imaging.reader import SUFFIXES

        files = sorted(path for path in self.folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        found = [path for path in files if path.stem == item]
        if len(found) == 1:
            return found[0]
        if found:
            raise BlindSRError(f"{self.folder}: item '{item}' has {' and '.join(path.name for path in found)}; leave one of them")
        near = get_close_matches(item, [path.stem for path in files], n=1)
        there = next((path.name for path in files if near and path.stem == near[0]), files[0].name if files else "no image")
        raise BlindSRError(f"{self.folder / item}.png: no such file; an SR image is named like its item (the folder holds {there})")
