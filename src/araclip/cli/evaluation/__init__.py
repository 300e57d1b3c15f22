"""The commands that measure models: retrieval, the paper's suite, robustness, zero-shot classification."""
