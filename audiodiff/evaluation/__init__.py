"""Scores of recordings against references, and without."""
