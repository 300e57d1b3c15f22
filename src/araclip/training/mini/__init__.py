"""Modules that only araclip-mini needs, and other small models that are trained on a CPU with few cores.

    configuration     settings of araclip-mini's towers and heads
    recipe            the kinds of stages that it adds to recipes
    branches          image towers with shared blocks, branches, gates and routers
    heads             projections with a query bank, a names part, or both
    frozen_features   caches the shared blocks' output, and trains the blocks above quickly
    joining, naming, query_bank, distilling     the added stages

Glossary, in these modules:

    backbone stages      → shared blocks: the first blocks of the image network, frozen; all branches read their output
    ensemble member      → branch: the blocks after the shared blocks and the pooling, of one fine-tuned network
    cached feature maps  → frozen features: the shared blocks' output, computed once for each picture and stored
    gate (mixture of experts) → gate: a factor from 0 to 1 for a branch's features, or for the names part of a text
    expert               → expert: a gated branch for one kind of pictures, such as drawings; it adds nothing elsewhere
    QB-Norm's queries    → query bank: texts that tell which pictures lie near everything, to subtract this from scores
    class-probability embedding (ConSE) → names part: further numbers of a vector, for queries by a class's name

The rest of `training` reaches these modules by name only, see `extensions`. Large towers on a GPU need none of them.
"""
