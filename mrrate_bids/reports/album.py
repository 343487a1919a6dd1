"""Where the pictures of a study gather: their files, their cards, and what shows a face."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from mrrate_bids.errors import DestinationError, MrRateError
from mrrate_bids.files import remove
from mrrate_bids.reports.facts import Result, SeriesFacts
from mrrate_bids.reports.figures.canvas import save
from mrrate_bids.reports.gallery import Card, Gallery, Note, Picture
from mrrate_bids.reports.pages import link
from mrrate_bids.reports.places import FACE_THUMBNAIL, THUMBNAIL

__all__ = ['Album']

_THUMBNAIL_SIZE = (240, 240)
_OUTDATED = 'Outdated: a run with these options would compute it anew.'


class Album:
    """The pictures of a study.

    Parameters
    ----------
    folder
        Gets them.
    faces
        Whether images may be shown that have a face, or of which nothing is known.
    """

    def __init__(self, folder: Path, *, faces: bool) -> None:
        self.gallery = Gallery()
        self.faces = faces
        self._folder = folder
        self._written: set[Path] = set()

    @contextmanager
    def attempt(self, what: str, one: SeriesFacts) -> Iterator[None]:
        """Note what cannot be drawn, and go on."""
        try:
            yield
        except DestinationError:
            raise
        except MrRateError as error:
            self.gallery.notes.append(Note(f'{what} of {one.short}', str(error)))

    def allows(self, name: str, *, faceless: bool) -> bool:
        """Tell whether an image may be shown, and take note of its face, shown or hidden.

        Parameters
        ----------
        name
            What the page calls it.
        faceless
            Whether it is known to have no face; else it counts as one that has.
        """
        if faceless:
            return True
        noted = self.gallery.faces if self.faces else self.gallery.hidden
        if name not in noted:
            noted.append(name)
        return self.faces

    def add(
        self,
        section: str,
        one: SeriesFacts,
        *pictures: Picture,
        of: Result | None,
        caption: str = '',
        **more: Any,
    ) -> None:
        """Add a card of a series.

        Parameters
        ----------
        section, one, pictures
            Where it stands, and what it shows.
        of
            The result that it judges; the caption says so where that is outdated.
        caption
            Under the title.
        more
            ``mode`` and ``legend`` of the card.
        """
        if of and of.is_outdated:
            caption = f'{_OUTDATED} {caption}'.strip()
        self.gallery.cards.append(Card(section, one.short, pictures, caption=caption, **more))

    def save(
        self, one: SeriesFacts, name: str, picture: Image.Image, *, alt: str, label: str = ''
    ) -> Picture:
        """Write a picture of a series.

        Parameters
        ----------
        one, name
            The series, and what tells the file from others of it.
        picture
            What is written.
        alt
            What it shows, in words.
        label
            Written under it.
        """
        target = self._folder / f'{one.name}_{name}.png'
        self._write(picture, target)
        return Picture(link(target, self._folder.parents[1]), alt, *picture.size, label)

    def save_thumbnail(self, picture: Image.Image, *, faceless: bool) -> None:
        """Write what the page of all studies shows of this one."""
        small = picture.copy()
        small.thumbnail(_THUMBNAIL_SIZE)
        self._write(small, self._folder / (THUMBNAIL if faceless else FACE_THUMBNAIL))

    def _write(self, picture: Image.Image, target: Path) -> None:
        save(picture, target)
        self._written.add(target)

    def sweep(self) -> None:
        """Remove pictures that this report does not show."""
        for path in self._folder.glob('*.png') if self._folder.is_dir() else []:
            if path not in self._written:
                remove(path)
