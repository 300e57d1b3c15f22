"""A hypothesis strategy: values that a field of a JSON or TOML file of a stranger may hold."""

from typing import Any

from hypothesis import strategies as st

SCALARS = (
    None, True, 0, -1, 0.5, 1e308, float("nan"), float("inf"), 10**30, "", "x", "\x00", "../x", "\u202e", "أ" * 300,
)  # fmt: skip


def strange_values() -> st.SearchStrategy[Any]:
    """Scalars at the ends of their ranges, any others, and small lists and tables of them."""
    return st.recursive(
        st.sampled_from(SCALARS) | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
