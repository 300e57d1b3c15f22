"""The models of a user: listed, pulled, measured, removed, pushed."""
