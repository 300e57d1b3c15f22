"""The gallery of a server: its reader, refreshed in the background, and what the page shows of it."""
