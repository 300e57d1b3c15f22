"""Modules that only araclip-mini needs, and other small models that are trained on a CPU with few cores.

    configuration     settings of araclip-mini's towers and heads
    recipe            the kinds of stages that it adds to recipes
    branches          an ensemble whose members share frozen first blocks, and branches for one kind of pictures
    heads             projections with a query bank (against hubness) and with a part for class names
    frozen_features   computes the frozen blocks' output once for each picture, and trains the blocks above fast
    joining, naming, query_bank, distilling     the added stages

The rest of `training` reaches these modules by name only, see `extensions`. Large towers on a GPU need none of them.
"""
