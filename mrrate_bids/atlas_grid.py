"""The voxel grid of MNI152NLin2009cSym at resolution 1: 1 mm, axes along RAS.

Source: TemplateFlow, ``tpl-MNI152NLin2009cSym/template_description.json``.
"""

__all__ = ['ATLAS_ORIGIN', 'ATLAS_SHAPE']

ATLAS_SHAPE = (193, 229, 193)

ATLAS_ORIGIN = (-96.0, -132.0, -78.0)
"""Of the first voxel, RAS mm."""
