"""Browsing a gallery without a query: by date, by folder, by place."""
