"""Figures of a report: recall by group of queries, the best and the worst queries, charts."""
