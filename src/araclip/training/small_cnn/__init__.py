"""Tools that only training a small convolutional image tower on a CPU of a few cores needs, such as araclip-mini's.

    branches         an ensemble whose members share their frozen first blocks: it costs little more than one network
    gate             the gate of a branch that contributes only on pictures of one kind, such as drawings
    frozen_features  the frozen blocks' output, computed once a picture and stored: a step skips most of the work
    batchnorm        frozen BatchNorm fused into convolutions while training: four fifths of the time
    pointwise        1 × 1 convolutions in bfloat16, where the processor computes that at twice the speed
    malloc           glibc reuses freed memory, which saves the page faults of every step

A large tower on a GPU needs none of them: `partial` and `full` training, bfloat16 and gradient caching of the general
trainer do.
"""
