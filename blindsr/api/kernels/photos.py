"""Photographs as inputs of estimates: the formats that `read_image` reads, and AVIF, HEIC and cameras' raw files."""

from __future__ import annotations

from blindsr.api.photographs.reading import read_picture
from blindsr.imaging.reader import Picture
from blindsr.pipeline.hashes import HashedFile
from blindsr.pipeline.steps import ImageCell, ImageFile


class _Photo(ImageFile):
    def decoded(self) -> Picture:
        return read_picture(self.path)


class _PhotoCell(_Photo, ImageCell):
    pass


def photo_of(file: HashedFile) -> ImageFile:
    """A photograph that is an input of a step."""
    return _Photo.of(file)


def cell_of(file: HashedFile, *, cells: int, row: int, column: int) -> ImageFile:
    """One cell of a grid of `cells` x `cells` over a photograph, counted from 0; all of it if there is only one."""
    return _PhotoCell(file.path, file.sha256, file.stamp, cells=cells, row=row, column=column) if cells > 1 else photo_of(file)
