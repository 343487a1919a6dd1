"""Figures of a report: one module for each, drawn with numpy and written as small PNG files."""
