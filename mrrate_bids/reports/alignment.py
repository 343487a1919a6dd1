"""What was registered, over what it was registered to: the centre, or the template."""

from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.reports.album import Album
from mrrate_bids.reports.facts import Result, SeriesFacts
from mrrate_bids.reports.figures.canvas import Frame
from mrrate_bids.reports.figures.flicker import Fixed
from mrrate_bids.reports.series_images import SeriesImages
from mrrate_bids.reports.views import View, read_overlay, read_view

__all__ = ['Alignment']

_COREG, _ATLAS = 'Co-registration', 'Atlas registration'


class Alignment:
    """The cards of both registrations of a study.

    Parameters
    ----------
    album
        Gets them.
    atlas
        The template, where it is at hand.
    """

    def __init__(self, album: Album, atlas: Atlas | None) -> None:
        self._album, self._atlas = album, atlas
        self._centre: SeriesFacts | None = None
        self._fixed: Fixed | None = None

    def fix(self, centre: SeriesImages) -> None:
        """Take the centre, upon which the other series are laid."""
        with self._album.attempt(_COREG, centre.facts):
            self._fixed = Fixed(centre.shown, centre.mask)
            self._centre = centre.facts

    def draw_coreg(self, one: SeriesFacts) -> None:
        """Draw a series in turn with the centre."""
        result = one.result('coreg-image')
        if not (result and self._fixed and self._centre):
            return
        if not self._album.allows(f'co-registered {one.short}', faceless=result.is_faceless):
            return
        with self._album.attempt(_COREG, one):
            moved = self._fixed.over(read_view(result.path))
            alt = f'Nine planes of the centre {self._centre.short}'
            fixed = self._album.save(one, 'coreg-fixed', self._fixed.picture, alt=alt)
            alt = f'The same planes of {one.short} on its grid'
            moving = self._album.save(one, 'coreg', moved, alt=alt)
            caption = 'In turn with the centre; the outline is that of its brain mask.'
            self._album.add(
                'coreg', one, fixed, moving, of=result, mode='flicker', caption=caption
            )

    def draw_atlas(self, centre: SeriesFacts) -> None:
        """Draw the centre in turn with the template, or alone where that is not at hand."""
        result = centre.result('atlas-image')
        if not result:
            return
        name = f'{centre.short} in the space of the atlas'
        if not self._album.allows(name, faceless=result.is_faceless):
            return
        with self._album.attempt(_ATLAS, centre):
            view = read_view(result.path)
            if self._atlas:
                self._draw_on_template(centre, result, view, self._atlas)
            else:
                self._draw_without_template(centre, result, view)

    def _draw_on_template(
        self, centre: SeriesFacts, result: Result, view: View, atlas: Atlas
    ) -> None:
        template = read_view(atlas.image)
        brain = template.values
        if atlas.brain:
            brain = read_overlay(atlas.brain, like=template).values
        fixed = Fixed(template, brain, edges=True, frame=Frame.of(view, brain=brain))
        alt = 'Nine planes of the template'
        still = self._album.save(centre, 'atlas-fixed', fixed.picture, alt=alt)
        alt = f'The same planes of {centre.short} with edges of the template'
        moved = self._album.save(centre, 'atlas', fixed.over(view), alt=alt)
        caption = 'In turn with the template; the lines are edges of the template.'
        self._album.add('atlas', centre, still, moved, of=result, mode='flicker', caption=caption)

    def _draw_without_template(self, centre: SeriesFacts, result: Result, view: View) -> None:
        mask = centre.path('atlas-brain-mask')
        brain = read_overlay(mask, like=view).values if mask else None
        alt = f'Nine planes of {centre.short} in the space of the atlas'
        picture = self._album.save(centre, 'atlas', Fixed(view, brain).picture, alt=alt)
        caption = 'The template is not on this machine, so its edges are not shown.'
        self._album.add('atlas', centre, picture, of=result, caption=caption)
