"""All figures of a study, drawn in one pass: every image is read once, and series by series."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.errors import DestinationError, MrRateError
from mrrate_bids.files import remove
from mrrate_bids.reports.facts import SeriesFacts, StudyFacts
from mrrate_bids.reports.figures.canvas import Frame, save
from mrrate_bids.reports.figures.contours import draw_contours
from mrrate_bids.reports.figures.defacing import draw_defacing
from mrrate_bids.reports.figures.face import draw_face
from mrrate_bids.reports.figures.flicker import Fixed
from mrrate_bids.reports.figures.segmentation import Label, draw_segmentation, list_labels
from mrrate_bids.reports.gallery import Card, Gallery, Note, Picture
from mrrate_bids.reports.pages import link
from mrrate_bids.reports.places import THUMBNAIL
from mrrate_bids.reports.viewer import MOST_VOXELS, embed
from mrrate_bids.reports.views import View, read_overlay, read_view, signal_level
from mrrate_bids.templates import read_text

__all__ = ['draw_gallery']

_SEGMENTATIONS = ('nvseg-brain', 'nvseg-body', 'vista-seg')
_LABELS = 'nvsegctmr_labels.tsv'
_THUMBNAIL_SIZE = (240, 240)


@dataclass(frozen=True)
class _Loaded:
    """A series with the images that figures share, each read when it is first asked for."""

    facts: SeriesFacts

    @cached_property
    def raw(self) -> View:
        return read_view(self.facts.series.image)

    @cached_property
    def defaced(self) -> View | None:
        path = self.facts.path('defaced-image')
        return read_view(path) if path else None

    @property
    def shown(self) -> View:
        """As it may be published."""
        return self.defaced or self.raw

    @cached_property
    def mask(self) -> NDArray[Any] | None:
        return self._overlay('brain-mask')

    @cached_property
    def keep(self) -> NDArray[Any] | None:
        return self._overlay('defacing-mask')

    @cached_property
    def labels(self) -> View | None:
        path = self.facts.path(*_SEGMENTATIONS)
        return read_overlay(path, like=self.shown) if path else None

    @cached_property
    def legend(self) -> tuple[Label, ...]:
        return tuple(list_labels(self.labels, _label_names())) if self.labels else ()

    def _overlay(self, kind: str) -> NDArray[Any] | None:
        path = self.facts.path(kind)
        return read_overlay(path, like=self.shown).values if path else None


def draw_gallery(
    facts: StudyFacts, folder: Path, *, faces: bool = True, atlas: Atlas | None = None
) -> Gallery:
    """Draw the figures of a study; one that cannot be drawn is noted, and the others follow.

    Parameters
    ----------
    facts
        The study.
    folder
        Gets the figures; what an earlier report left there goes.
    faces
        Whether images are shown as they were before faces were taken away.
    atlas
        The template, where it is at hand.

    Raises
    ------
    DestinationError
        When *folder* cannot take files.
    """
    painter = _Painter(facts, folder, faces, atlas)
    painter.draw()
    painter.sweep()
    return painter.gallery


@cache
def _label_names() -> dict[int, str]:
    rows = (line.split('\t') for line in read_text(_LABELS).splitlines()[1:])
    return {int(row[0]): row[1] for row in rows}


class _Painter:
    def __init__(self, facts: StudyFacts, folder: Path, faces: bool, atlas: Atlas | None) -> None:
        self.gallery = Gallery()
        self._facts, self._folder, self._faces, self._atlas = facts, folder, faces, atlas
        self._fixed: Fixed | None = None
        self._written: set[Path] = set()

    def draw(self) -> None:
        """Draw everything, the centre first: the others are laid upon it."""
        for one in self._facts.series:
            loaded = _Loaded(one)
            self._draw_mask(loaded)
            self._draw_defacing(loaded)
            self._draw_face(loaded)
            self._draw_segmentation(loaded)
            self._draw_coreg(loaded)
            self._embed(loaded)
        if centre := self._facts.centre:
            self._draw_atlas(centre)

    def sweep(self) -> None:
        """Remove figures that this report does not show."""
        for path in self._folder.glob('*.png') if self._folder.is_dir() else []:
            if path not in self._written:
                remove(path)

    @contextmanager
    def _attempt(self, what: str, one: SeriesFacts) -> Iterator[None]:
        try:
            yield
        except DestinationError:
            raise
        except MrRateError as error:
            self.gallery.notes.append(Note(f'{what} of {one.short}', str(error)))

    def _save(self, one: SeriesFacts, name: str, picture: Image.Image, **words: str) -> Picture:
        target = self._folder / f'{one.name}_{name}.png'
        save(picture, target)
        self._written.add(target)
        address = link(target, self._folder.parents[1])
        return Picture(address, words['alt'], *picture.size, words.get('label', ''))

    def _save_thumbnail(self, picture: Image.Image) -> None:
        """Write what the page of all studies shows of this one."""
        small, target = picture.copy(), self._folder / THUMBNAIL
        small.thumbnail(_THUMBNAIL_SIZE)
        save(small, target)
        self._written.add(target)

    def _add(self, section: str, one: SeriesFacts, *pictures: Picture, **more: Any) -> None:
        self.gallery.cards.append(Card(section, one.short, pictures, **more))

    def _show(self, loaded: _Loaded, *, raw: bool = False) -> View:
        """Return a series to be drawn, and take note where its face can be seen."""
        if raw or loaded.defaced is None:
            self.gallery.shows_faces = True
            return loaded.raw
        return loaded.defaced

    def _draw_mask(self, loaded: _Loaded) -> None:
        one = loaded.facts
        with self._attempt('Brain mask', one):
            if (mask := loaded.mask) is None:
                return
            picture = draw_contours(self._show(loaded), mask)
            if one.is_centre:
                self._save_thumbnail(picture)
            alt = f'Outline of the brain mask on nine planes of {one.short}'
            carried = one.results['brain-mask'].is_carried
            caption = 'Carried over from the centre.' if carried else ''
            self._add('masks', one, self._save(one, 'mask', picture, alt=alt), caption=caption)

    def _draw_defacing(self, loaded: _Loaded) -> None:
        one = loaded.facts
        if not one.path('defaced-image', 'defacing-mask'):
            return
        with self._attempt('Defacing', one):
            if self._faces or loaded.defaced is None:
                raw = self._show(loaded, raw=True)
            else:
                raw = loaded.defaced
            before, after = draw_defacing(raw, loaded.defaced, loaded.keep, brain=loaded.mask)
            alt = f'Three planes of {one.short}'
            pictures = []
            if self._faces or after is None:
                words = {'alt': f'{alt} before defacing, with the cut', 'label': 'before'}
                pictures.append(self._save(one, 'before', before, **words))
            if after is not None:
                words = {'alt': f'{alt} after defacing', 'label': 'after'}
                pictures.append(self._save(one, 'after', after, **words))
            self._add('defacing', one, *pictures)

    def _draw_face(self, loaded: _Loaded) -> None:
        one = loaded.facts
        if not one.path('defaced-image', 'defacing-mask'):
            return
        with self._attempt('Face', one):
            if self._faces or loaded.defaced is None:
                views = {'before': self._show(loaded, raw=True), 'after': loaded.defaced}
            else:
                views = {'after': loaded.defaced}
            level = signal_level(next(iter(views.values())) or loaded.raw)
            pictures = []
            for when, view in views.items():
                if view is not None:
                    alt = f'Shaded surface of the head in {one.short} {when} defacing'
                    picture = draw_face(view, level)
                    words = {'alt': alt, 'label': when}
                    pictures.append(self._save(one, f'face-{when}', picture, **words))
            self._add('faces', one, *pictures, mode='face')

    def _draw_segmentation(self, loaded: _Loaded) -> None:
        one = loaded.facts
        with self._attempt('Segmentation', one):
            if (labels := loaded.labels) is None:
                return
            legend = loaded.legend
            picture = draw_segmentation(self._show(loaded), labels.values)
            alt = f'{len(legend)} labels in colours on nine planes of {one.short}'
            self._add(
                'segmentation', one, self._save(one, 'labels', picture, alt=alt), legend=legend
            )

    def _draw_coreg(self, loaded: _Loaded) -> None:
        one = loaded.facts
        if one.is_centre:
            with self._attempt('Co-registration', one):
                self._fixed = Fixed(self._show(loaded), loaded.mask)
        elif self._fixed and (path := one.path('coreg-image')):
            centre = self._facts.centre
            with self._attempt('Co-registration', one):
                moved = self._fixed.over(read_view(path))
                alt = f'Nine planes of the centre {centre.short if centre else ""}'
                fixed = self._save(one, 'coreg-fixed', self._fixed.picture, alt=alt)
                alt = f'The same planes of {one.short} on its grid'
                self._add(
                    'coreg',
                    one,
                    fixed,
                    self._save(one, 'coreg', moved, alt=alt),
                    mode='flicker',
                    caption='In turn with the centre; the outline is that of its brain mask.',
                )

    def _draw_atlas(self, centre: SeriesFacts) -> None:
        if path := centre.path('atlas-image'):
            with self._attempt('Atlas registration', centre):
                if self._atlas:
                    self._draw_on_template(centre, read_view(path), self._atlas)
                else:
                    self._draw_without_template(centre, read_view(path))

    def _draw_on_template(self, centre: SeriesFacts, view: View, atlas: Atlas) -> None:
        template = read_view(atlas.image)
        brain = template.values
        if atlas.brain:
            brain = read_overlay(atlas.brain, like=template).values
        fixed = Fixed(template, brain, edges=True, frame=Frame.of(view, brain=brain))
        alt = f'The same planes of {centre.short} with edges of the template'
        self._add(
            'atlas',
            centre,
            self._save(centre, 'atlas-fixed', fixed.picture, alt='Nine planes of the template'),
            self._save(centre, 'atlas', fixed.over(view), alt=alt),
            mode='flicker',
            caption='In turn with the template; the lines are edges of the template.',
        )

    def _draw_without_template(self, centre: SeriesFacts, view: View) -> None:
        mask = centre.path('atlas-brain-mask')
        brain = read_overlay(mask, like=view).values if mask else None
        alt = f'Nine planes of {centre.short} in the space of the atlas'
        picture = self._save(centre, 'atlas', Fixed(view, brain).picture, alt=alt)
        caption = 'The template is not on this machine, so its edges are not shown.'
        self._add('atlas', centre, picture, caption=caption)

    def _embed(self, loaded: _Loaded) -> None:
        one = loaded.facts
        with self._attempt('Viewer', one):
            labels = loaded.labels
            stack = embed(
                one.short,
                self._show(loaded),
                mask=loaded.mask,
                labels=None if labels is None else labels.values,
                legend=loaded.legend,
                most=MOST_VOXELS // len(self._facts.series),
            )
            self.gallery.stacks.append(stack)
