"""The commands that find pictures, and how they show what was found and how the query was understood."""
