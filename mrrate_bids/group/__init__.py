"""The group level: one page and one table over all studies that a folder of results knows."""
