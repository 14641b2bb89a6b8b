"""Any folder with a sub-folder of PNG or JPEG images for each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metacl_run.bounds import Classes, Tasks
from metacl_run.data.base import FewShotData, SampleData, seen_by
from metacl_run.data.cache import cached, stamp
from metacl_run.data.catalogue import Catalogue, Images
from metacl_run.data.dealing import Dealing
from metacl_run.data.decoding import decode
from metacl_run.data.image_data import ImageData
from metacl_run.errors import DataError, require_all, shown

ENDINGS = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageData):
    """Classes may hold different numbers of images of different sizes; all are resized to one square."""

    root: str
    """The folder of the class folders."""
    channels: int
    """1: grey, 3: red, green, blue."""
    num_tasks: Tasks | None = seen_by(FewShotData, SampleData)
    """Tasks that the classes are dealt to, or null."""
    classes_per_task: Classes | None = seen_by(FewShotData, SampleData)
    """Classes dealt to each task, or null; classes that do not fill a task stay unused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one = (self.num_tasks is None) != (self.classes_per_task is None)
        allowed = f"give either this or classes_per_task (which is {shown(self.classes_per_task)}), and null for the other"
        require_all(
            (self.channels in (1, 3), "channels", self.channels, "must be 1 or 3"),
            (one, "num_tasks", self.num_tasks, allowed),
        )

    def catalogue(self) -> Catalogue:
        classes = self._files()
        return Catalogue(
            names=[str(folder) for folder in classes],
            counts=np.array([len(files) for files in classes.values()]),
            groups=[folder.name for folder in classes],
        )

    def dealing(self) -> Dealing:
        return Dealing(num_tasks=self.num_tasks, classes_per_task=self.classes_per_task, whole_groups=False, shuffled=True)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.channels, self.image_size, self.image_size

    def read(self) -> Images:
        files = [file for held in self._files().values() for file in held]
        key = ["image_folder", self.image_size, self.channels, *map(stamp, files)]
        return Images(catalogue=self.catalogue(), pixels=cached(key, lambda: self._decode(files)))

    def _decode(self, files: list[Path]) -> np.ndarray:
        pixels = np.empty((len(files), *self.input_shape), np.uint8)
        for index, file in enumerate(files):
            pixels[index] = decode(file, name=str(file), channels=self.channels, image_size=self.image_size)
        return pixels

    def _files(self) -> dict[Path, list[Path]]:
        """The image files of every class folder, all sorted by name; folders that start with a dot are passed over."""
        base = Path(self.root).expanduser()
        if not base.is_dir():
            raise DataError(
                f"{base} is not a folder: data.root must be one with a sub-folder of images for each class. "
                "What runs now without it: metacl-run data=split_glyphs"
            )
        folders = sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not folders:
            raise DataError(f"{base} has no sub-folders: one for each class was expected.")
        return {folder: sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS) for folder in folders}
