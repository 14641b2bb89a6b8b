"""Reads Omniglot (Lake, Salakhutdinov, Tenenbaum 2015): 1623 characters of 50 alphabets, 20 drawings each.

Taken as the original archives, as the folders they unpack to, or as torchvision keeps them. Archives are read where
they are, nothing is unpacked. The content is checked by counts, not by checksums: repacked archives are as good.
"""

from __future__ import annotations

import dataclasses
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metacl_run.core.errors import DataError
from metacl_run.core.files import regular_file
from metacl_run.data.files.cache import cached
from metacl_run.data.files.fetching import find_or_fetch
from metacl_run.data.files.reading import reading, stamp
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.images.decoding import decode, stacked
from metacl_run.data.images.image_notes import on_pixels
from metacl_run.data.sources.source import Catalogue, LabelledExamples

DRAWINGS = 20
ARCHIVE_BYTES, DRAWING_BYTES = 2**28, 2**20
"""More than this no archive takes on disk and no drawing takes unpacked; the real ones take a small part of it."""
SUBSETS = {"images_background": 964, "images_evaluation": 659}
"""The two archives and how many characters each holds."""
FOLDERS = ("", "omniglot", "omniglot-py")
"""Where below the data root the archives may be; the last is torchvision's."""
ALPHABETS = {
    "Alphabet_of_the_Magi": 20, "Anglo-Saxon_Futhorc": 29, "Arcadian": 26, "Armenian": 41, "Asomtavruli_(Georgian)": 40,
    "Balinese": 24, "Bengali": 46, "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14, "Braille": 26,
    "Burmese_(Myanmar)": 34, "Cyrillic": 33, "Early_Aramaic": 22, "Futurama": 26, "Grantha": 43, "Greek": 24,
    "Gujarati": 48, "Hebrew": 22, "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16, "Japanese_(hiragana)": 52,
    "Japanese_(katakana)": 47, "Korean": 40, "Latin": 26, "Malay_(Jawi_-_Arabic)": 40, "Mkhedruli_(Georgian)": 41,
    "N_Ko": 33, "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14, "Sanskrit": 42, "Syriac_(Estrangelo)": 23, "Tagalog": 17,
    "Tifinagh": 55,
    "Angelic": 20, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26, "Avesta": 26, "Ge_ez": 26,
    "Glagolitic": 45, "Gurmukhi": 45, "Kannada": 41, "Keble": 26, "Malayalam": 47, "Manipuri": 40, "Mongolian": 30,
    "Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46, "Sylheti": 28, "Syriac_(Serto)": 23, "Tengwar": 25,
    "Tibetan": 42, "ULOG": 26,
}  # fmt: skip
"""Characters of each alphabet, background then evaluation: settings are checked before any file is looked at."""

Characters = dict[tuple[str, str], list[str]]
"""Sorted file names by (alphabet, character), below the subset's parent folder."""


def omniglot_catalogue() -> Catalogue:
    """What the complete Omniglot holds."""
    sizes = ALPHABETS.items()
    names = [f"{alphabet}/character{number + 1:02d}" for alphabet, size in sizes for number in range(size)]
    groups = [alphabet for alphabet, size in sizes for _ in range(size)]
    counts = np.full(len(names), DRAWINGS)
    return Catalogue(names=names, counts=counts, groups=groups, group_word="alphabets", class_word="characters")


def read_omniglot(root: str, *, image_size: int, download: bool) -> LabelledExamples:
    """All drawings as [1623 * 20, 1, image_size, image_size] uint8, ink bright.

    Raises:
        DataError: Omniglot is missing, incomplete or broken.
    """
    subsets = find_or_fetch(
        root,
        name="Omniglot",
        looked_for=[f"{Path(folder, subset)}{end}" for folder in FOLDERS for subset in SUBSETS for end in (".zip", "/")],
        find=_find,
        download=_download,
        verify=lambda subsets: [_characters(subset) for subset in subsets],
        place=FOLDERS[-1],
        allowed=download,
    )
    listings = [_characters(subset) for subset in subsets]
    classes = [character for listing in listings for character in listing]
    names, groups = ["/".join(character) for character in classes], [alphabet for alphabet, _ in classes]
    counts = np.full(len(classes), DRAWINGS)
    catalogue = dataclasses.replace(omniglot_catalogue(), names=names, counts=counts, groups=groups)

    def make() -> np.ndarray:
        drawings = (
            drawing for subset, names in zip(subsets, listings, strict=True) for drawing in _decode(subset, names, image_size)
        )
        count = DRAWINGS * len(classes)
        return 255 - stacked(drawings, count=count, channels=1, image_size=image_size)  # on file ink is 0 and paper 1

    pixels = cached(["omniglot", image_size, *(_stamps(*pair) for pair in zip(subsets, listings, strict=True))], make)
    return LabelledExamples(catalogue=catalogue, x=pixels, notes=on_pixels(catalogue, pixels))


def _find(root: Path) -> list[Path] | None:
    """The archive, or else the folder, of each subset; both lie in the same folder."""
    for folder in FOLDERS:
        candidates = [(root / folder / f"{subset}.zip", root / folder / subset) for subset in SUBSETS]
        if all(archive.is_file() or unpacked.is_dir() for archive, unpacked in candidates):
            return [archive if archive.is_file() else unpacked for archive, unpacked in candidates]
    return None


def _download(folder: Path) -> None:
    omniglot = torchvision_module("datasets").Omniglot
    for background in (True, False):
        omniglot(str(folder), background=background, download=True)


def _characters(subset: Path) -> Characters:
    """Lists a subset and checks its counts.

    Raises:
        DataError: naming the file and what was expected.
    """
    name = subset.name.removesuffix(".zip")
    expected = f"expected {SUBSETS[name]} characters of {DRAWINGS} drawings as {name}/ALPHABET/CHARACTER/DRAWING.png"
    listing: Characters = {}
    pattern = re.compile(rf"{name}/([^/.][^/]*)/([^/.][^/]*)/[^/.][^/]*\.png")  # no dot files, which macOS adds
    for path in sorted(_names(subset, expected)):
        if match := pattern.fullmatch(path):
            listing.setdefault((match[1], match[2]), []).append(path)
    if len(listing) != SUBSETS[name]:
        raise DataError(f"{subset}: {expected}, found {len(listing)} characters. Half-written or not Omniglot.")
    for character, drawings in listing.items():
        if len(drawings) != DRAWINGS:
            raise DataError(f"{subset}: {expected}, but {'/'.join(character)} has {len(drawings)} drawings.")
    return listing


def _names(subset: Path, expected: str) -> list[str]:
    if subset.is_dir():
        with reading(subset):
            return [path.relative_to(subset.parent).as_posix() for path in subset.glob("*/*/*.png")]
    try:
        with _archive(subset) as archive:
            names = archive.namelist()
    except Exception as error:  # a broken archive raises whatever its bytes happen to ask for
        raise DataError(f"{subset}: not a whole zip archive ({error}); {expected}. Half-written? Remove it.") from None
    for name in names:
        if ".." in re.split(r"[/\\]", name) or name.startswith(("/", "\\")) or name[1:2] == ":":
            raise DataError(f"{subset}: refused, it names a file outside its folder: {name}")
    return names


def _archive(subset: Path) -> zipfile.ZipFile:
    """The archive, opened. Raises OSError where it is no regular file, or larger than any Omniglot."""
    if regular_file(subset).st_size > ARCHIVE_BYTES:
        raise OSError(f"more than {ARCHIVE_BYTES} bytes")
    return zipfile.ZipFile(subset)


def _decode(subset: Path, listing: Characters, image_size: int) -> Iterator[np.ndarray]:
    for name, content in _contents(subset, [name for drawings in listing.values() for name in drawings]):
        yield decode(content, name=f"{subset}: {name}", channels=1, image_size=image_size)


def _contents(subset: Path, names: list[str]) -> Iterator[tuple[str, bytes | Path]]:
    if subset.is_dir():
        for name in names:
            yield name, subset.parent / name
        return
    with _archive(subset) as archive:
        for name in names:
            try:
                if archive.getinfo(name).file_size > DRAWING_BYTES:  # no more than this is unpacked, whatever follows
                    raise OSError(f"more than {DRAWING_BYTES} bytes")
                content = archive.read(name)
            except Exception as error:  # as in `_names`
                raise DataError(f"{subset}: {name} is damaged in the archive ({error}). Replace the archive.") from None
            yield name, content


def _stamps(subset: Path, listing: Characters) -> list[tuple[str, int, int]]:
    if subset.is_dir():
        return [stamp(subset.parent / name) for drawings in listing.values() for name in drawings]
    return [stamp(subset)]
