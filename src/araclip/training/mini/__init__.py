"""What only araclip-mini needs, and other small models trained on a CPU of a few cores.

    configuration     settings of its towers and heads
    recipe            its kinds of stages
    branches          an ensemble whose members share their frozen first blocks, and branches for one kind of pictures
    heads             projections with a query bank (hubness) and with a part for class names
    frozen_features   the frozen blocks' output, computed once a picture; how the blocks above learn on it fast
    joining, naming, query_bank, distilling     its stages

The rest of training reaches these by name alone, see `extensions`. A large tower on a GPU needs none of them.
"""
