"""Losses of all stages: pure functions of vectors.

Shapes: B rows of D numbers, T texts, I pictures. "Unit" means rows of length 1. `same` is a boolean matrix, true for
pairs that must not count as negatives: the same text twice, or two texts of one picture.
"""
