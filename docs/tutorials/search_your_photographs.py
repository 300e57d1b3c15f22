# %% [markdown]
# # Search your photographs
#
# Index a folder, search it by words and by a picture, and ask why a picture was found. It takes less than a minute on a
# laptop. This page is a script; in a clone of the repository, run it with a folder of yours, or without one to have
# forty sample pictures made:
#
# ```text
# python docs/tutorials/search_your_photographs.py ~/Pictures
# ```

# %%
import sys
from pathlib import Path

from araclip import Gallery
from araclip.demo import sample_pictures

if sys.argv[1:]:
    photographs = Path(sys.argv[1])
else:  # needs the extra `demo`: pip install '.[demo]'
    photographs = Path("sample-pictures")
    sample_pictures(photographs, lambda done, found: None, limit=40)

# %% [markdown]
# ## Index
#
# A gallery is a folder beside your pictures, not in them. `update` brings it up to date: a second call reads only what
# is new.

# %%
gallery = Gallery.open("tutorial-gallery", create=True)
report = gallery.update([photographs])
print(f"{report.pictures} pictures, {report.added} of them new")

# %% [markdown]
# ## Search by words
#
# A hit has the cosine of query and picture (`score`) and the probability that the picture shows what the query says
# (`relevance`); weak hits are those you would rather not see. The nearest pictures are always returned, so look at
# `weak` before you believe one.


# %%
def show(query: str, **options: object) -> None:
    """Print the hits of a query, best first."""
    print(f"\n{query}")
    for hit in gallery.search(query, k=3, **options):
        print(f"  {hit.score:.3f}  {hit.strength or '':6}  {Path(hit.path).name}")


show("وجه قطة")
show("a cup of coffee")
show("فنجان قهوة - طعام")  # and not food
show("رائد فضاء", where=["format=PNG"])

# %% [markdown]
# Dialects, misspellings and Arabizi are read as standard Arabic, and the gallery says how:

# %%
hits = gallery.search("2otta", k=1)
if hits.interpretation:
    for reading in hits.interpretation.readings:
        print(f"{reading.weight:.2f}  {reading.text}")

# %% [markdown]
# ## Search by a picture

# %%
best = gallery.search("وجه قطة", k=1)[0]
for hit in gallery.similar(Path(best.path), k=3):
    print(f"{hit.score:.3f}  {Path(hit.path).name}")

# %% [markdown]
# ## Why was it found?
#
# Each word's share is the cosine that the picture loses when the query is asked without that word.

# %%
found = gallery.explain("وجه قطة", best.path)
for word in found.words:
    print(f"{word.share:+.3f}  {word.word}")

# %% [markdown]
# ## Close it
#
# From here on the command line knows the gallery too: `araclip search "وجه قطة" --gallery tutorial-gallery`. The guides
# go on: [Search](../searching.md), [Galleries](../gallery.md), and [Serve](../serve.md) for the page.

# %%
gallery.close()
