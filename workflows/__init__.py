"""Nipype graphs: one small graph for each study, built from parts that stand alone."""
