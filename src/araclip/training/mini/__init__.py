"""Modules that only araclip-mini needs, and other small models that are trained on a CPU with few cores.

    configuration     settings of araclip-mini's towers and heads
    recipe            the kinds of stages that it adds to recipes
    branches          image towers with shared blocks, branches, gates and routers
    heads             projections with a query bank, a names part, or both
    frozen_features   caches the shared blocks' output, and trains the blocks above quickly
    packaged_towers   towers from the weights that packages carry
    joining, naming, query_bank, distilling     the added stages

Glossary: the field's word, with ours in brackets where it differs.

    frozen backbone (shared blocks)        the first blocks of the image network, which all branches share
    ensemble member (branch)               the blocks after the shared blocks, with pooling, of one fine-tuned network
    cached feature maps (frozen features)  the shared blocks' output, computed once for each picture and stored
    gate                                   a factor from 0 to 1, for a branch's features or for a text's names part
    expert                                 a gated branch for one kind of pictures, such as drawings
    query bank (of QB-Norm)                texts that tell which pictures lie near most texts, to correct their scores
    ConSE embedding (names part)           further numbers of a vector, for queries by the name of a class

The rest of `training` reaches these modules by name only, see `extensions`. Large towers on a GPU need none of them.
"""
