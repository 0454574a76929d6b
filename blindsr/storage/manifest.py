"""The manifest of a result's folder: which pipeline, images and steps it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blindsr.errors import BlindSRError, shortened
from blindsr.imaging.files import write_whole
from blindsr.pipeline.plan import Plan


class Manifest(BaseModel):
    """What a result's folder is of; `items` has the path and the SHA-256 of each image, `steps` are keys of steps, done or not."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    pipeline: str
    items: dict[str, Annotated[list[str], Field(min_length=2, max_length=2)]]
    seeds: list[int]
    scale: int | None = None
    """None in a manifest of blindsr 0.2."""
    steps: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]], Field(min_length=1)]

    @classmethod
    def of(cls, plan: Plan) -> Manifest:
        sources = {planned.item.id: planned.source for planned in plan.items}
        items = {_utf8(item): [_utf8(str(source.path.resolve())), source.sha256] for item, source in sources.items()}
        settings = plan.pipeline
        return cls(pipeline=settings.name, items=items, seeds=list(settings.seeds), scale=settings.scale, steps=list(plan.steps))

    @classmethod
    def read(cls, path: Path) -> Manifest:
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):  # also where it is not JSON
            raise BlindSRError(
                f"{path}: cannot be read, so the steps that this result needs are not known; remove the folder {path.parent} "
                "(finished steps stay), and run its pipeline again"
            ) from None

    def write(self, path: Path) -> None:
        write_whole(path, lambda part: part.write_text(self.model_dump_json()))

    def same_set(self, other: Manifest) -> bool:
        """Whether both are of one pipeline, scale and set of images: out of one folder, or, if that was moved, of equal bytes."""
        if None not in (self.scale, other.scale) and self.scale != other.scale:
            return False
        shared = self.items.keys() & other.items.keys()
        moved = bool(shared) and all(self.items[item][1] == other.items[item][1] for item in shared)
        return self.pipeline == other.pipeline and (moved or bool(self._folders() & other._folders()))

    def joined(self, before: Manifest) -> Manifest:
        """This manifest with what an earlier one of the same set needs; unless this one has all of its items and seeds."""
        if before.items.keys() <= self.items.keys() and set(before.seeds) <= set(self.seeds):
            return self
        seeds = list(dict.fromkeys(before.seeds + self.seeds))
        steps = list(dict.fromkeys(before.steps + self.steps))
        return Manifest(pipeline=self.pipeline, items=before.items | self.items, seeds=seeds, scale=self.scale, steps=steps)

    def beyond(self, plan: Plan) -> list[str]:
        """The items and seeds that a plan does not have, by name."""
        own = Manifest.of(plan)
        items = [item for item in self.items if item not in own.items]
        return items + [f"seed {seed}" for seed in self.seeds if seed not in own.seeds]

    def describe(self) -> str:
        scale = f" at x{self.scale}" if self.scale else ""
        places = shortened(sorted(map(str, self._folders())))
        return f"pipeline '{self.pipeline}' on {shortened(sorted(self.items))} in {places}{scale}"

    def _folders(self) -> set[Path]:
        return {Path(path).parent for path, _ in self.items.values()}


def _utf8(text: str) -> str:
    """`text`, and what is not Unicode in the name of a file as an escape."""
    return text.encode(errors="backslashreplace").decode()
