"""Sphinx configuration."""

from mrrate_bids import __version__

project = 'mrrate-bids'
author = 'The mrrate-bids developers'
copyright = '2026, the mrrate-bids developers'  # noqa: A001  (the name is Sphinx's)
version = release = __version__

extensions = ['myst_parser', 'sphinx_click']
myst_enable_extensions = ['colon_fence', 'deflist']
myst_heading_anchors = 3
exclude_patterns = ['_build']
language = 'en_GB'
smartquotes = False  # they turn --option into –option
nitpicky = True

html_theme = 'furo'
html_title = f'mrrate-bids {__version__}'
