"""All figures of a study, drawn in one pass: every image is read once, and series by series."""

from pathlib import Path

from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.reports.album import Album
from mrrate_bids.reports.alignment import Alignment
from mrrate_bids.reports.facts import Result, SeriesFacts, StudyFacts
from mrrate_bids.reports.figures.contours import draw_contours
from mrrate_bids.reports.figures.defacing import draw_defacing
from mrrate_bids.reports.figures.face import draw_face
from mrrate_bids.reports.figures.segmentation import draw_segmentation
from mrrate_bids.reports.gallery import Gallery
from mrrate_bids.reports.series_images import SEGMENTATIONS, SeriesImages
from mrrate_bids.reports.viewer import MOST_VOXELS, embed
from mrrate_bids.reports.views import signal_level

__all__ = ['draw_gallery']


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
        Whether images are shown that are not known to be without a face.
    atlas
        The template, where it is at hand.

    Raises
    ------
    DestinationError
        When *folder* cannot take files.
    """
    album = Album(folder, faces=faces)
    alignment = Alignment(album, atlas)
    most = MOST_VOXELS // max(1, len(facts.series))
    for one in facts.series:  # the centre first: the others are laid upon it
        if album.allows(one.short, faceless='defaced-image' in one.results):
            images = SeriesImages(one, _find_segmentation(one, album))
            _Painter(images, album).draw(most)
            if one.is_centre:
                alignment.fix(images)
        if not one.is_centre:
            alignment.draw_coreg(one)
    if facts.centre:
        alignment.draw_atlas(facts.centre)
    album.sweep()
    return album.gallery


def _find_segmentation(one: SeriesFacts, album: Album) -> Result | None:
    """Return the segmentation of a series that may be shown."""
    for kind in SEGMENTATIONS:
        found = one.result(kind)
        if found and album.allows(f'segmentation of {one.short}', faceless=found.is_faceless):
            return found
    return None


class _Painter:
    """Draws a series on its own grid."""

    def __init__(self, images: SeriesImages, album: Album) -> None:
        self._images, self._album, self._facts = images, album, images.facts

    def draw(self, most: int) -> None:
        """Draw everything; *most* are the voxels that its stack in the viewer may have."""
        self._draw_mask()
        self._draw_defacing()
        self._draw_face()
        self._draw_segmentation()
        self._embed(most)

    def _draw_mask(self) -> None:
        one, images = self._facts, self._images
        with self._album.attempt('Brain mask', one):
            if images.mask is None:
                return
            picture = draw_contours(images.shown, images.mask)
            if one.is_centre:
                self._album.save_thumbnail(picture, faceless=images.is_defaced)
            alt = f'Outline of the brain mask on nine planes of {one.short}'
            drawn = self._album.save(one, 'mask', picture, alt=alt)
            mask = one.results['brain-mask']
            caption = 'Carried over from the centre.' if mask.is_carried else ''
            self._album.add('masks', one, drawn, of=mask, caption=caption)

    def _shows_before(self) -> bool:
        """Tell whether pictures from before defacing are drawn, and take note of them."""
        images = self._images
        if not images.is_defaced:
            return True  # there is no other picture, and this one is allowed
        if not self._album.faces:
            return False
        name = f'{self._facts.short} before defacing'
        return self._album.allows(name, faceless=not images.has_before) and images.has_before

    def _draw_defacing(self) -> None:
        one, images = self._facts, self._images
        if not (result := one.result('defaced-image', 'defacing-mask')):
            return
        with self._album.attempt('Defacing', one):
            defaced, shows_before = images.defaced, self._shows_before()
            raw = images.raw if shows_before else images.shown
            before, after = draw_defacing(raw, defaced, images.keep, brain=images.mask)
            alt, pictures = f'Three planes of {one.short}', []
            has_line = shows_before and images.keep is not None
            if shows_before:
                said = f'{alt} before defacing{", with the cut" if has_line else ""}'
                pictures.append(self._album.save(one, 'before', before, alt=said, label='before'))
            if after is not None:
                said = f'{alt} after defacing'
                pictures.append(self._album.save(one, 'after', after, alt=said, label='after'))
            caption = 'The line is the cut.' if has_line else ''
            self._album.add('defacing', one, *pictures, of=result, caption=caption)

    def _draw_face(self) -> None:
        one, images = self._facts, self._images
        if not (result := one.result('defaced-image', 'defacing-mask')):
            return
        with self._album.attempt('Face', one):
            shows_before = self._shows_before()
            views = {'before': images.raw if shows_before else None, 'after': images.defaced}
            drawn = {when: view for when, view in views.items() if view is not None}
            level = signal_level(next(iter(drawn.values())))
            pictures = []
            for when, view in drawn.items():
                alt = f'Shaded surface of the head in {one.short} {when} defacing'
                picture = draw_face(view, level)
                pictures.append(
                    self._album.save(one, f'face-{when}', picture, alt=alt, label=when)
                )
            self._album.add('faces', one, *pictures, of=result, mode='face')

    def _draw_segmentation(self) -> None:
        one, images = self._facts, self._images
        with self._album.attempt('Segmentation', one):
            if images.labels is None:
                return
            picture = draw_segmentation(images.shown, images.labels.values)
            alt = f'{len(images.legend)} labels in colours on nine planes of {one.short}'
            drawn = self._album.save(one, 'labels', picture, alt=alt)
            self._album.add(
                'segmentation', one, drawn, of=images.segmentation, legend=images.legend
            )

    def _embed(self, most: int) -> None:
        one, images = self._facts, self._images
        with self._album.attempt('Viewer', one):
            labels = images.labels
            stack = embed(
                one.short,
                images.shown,
                mask=images.mask,
                labels=None if labels is None else labels.values,
                legend=images.legend,
                most=most,
                is_defaced=images.is_defaced,
            )
            self._album.gallery.stacks.append(stack)
