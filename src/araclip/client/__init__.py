"""A client for `araclip serve`: typed, thread-safe, needs the standard library only.

>>> from araclip.client import Client
>>> with Client("http://127.0.0.1:8000") as client:
...     for hit in client.search("قطة على طاولة", k=5).results:
...         print(hit.name, hit.relevance)
"""

from araclip.client.answers import Added, Album, Listed, Month, Place, Result, Results, Suggestion, WordShare
from araclip.client.client import Client
from araclip.client.where import FiltersLike, Where

__all__ = [
    "Added", "Album", "Client", "FiltersLike", "Listed", "Month", "Place", "Result", "Results", "Suggestion",
    "Where", "WordShare",
]  # fmt: skip
