"""Projection heads: corrected for hubness by a query bank, with a part for names; adding and removing these."""
