"""Reports: what became of a study, as a page that opens from disk without a network."""
