# %% [markdown]
# # Compare models honestly
#
# Which of two models finds more on *your* pictures, asked in *your* words, and is the difference more than luck? This
# page compares araclip-mini with the same model cut to half its width, which would halve the memory of a gallery. Put
# any other model in its place. In a clone:
#
# ```text
# pip install '.[demo]'
# python docs/tutorials/compare_models.py
# ```

# %%
import json
from collections.abc import Iterable
from pathlib import Path

from araclip import AraCLIP
from araclip.demo import sample_pictures
from araclip.evaluation.published_sets import load_dataset
from araclip.evaluation.retrieval import evaluate
from araclip.evaluation.scores import intervals, measures
from araclip.evaluation.significance import compare

# %% [markdown]
# ## A set of your own
#
# A folder of pictures with a `captions.jsonl`, one object a line. Three rules keep it honest:
#
# - **Captions come from people who look at the picture**, not from its file name, and not from a model that is
#   compared.
# - **No picture or caption was trained on**: `araclip evaluate --train-data` looks for near copies
#   ([leaks](../evaluation.md#leaks)).
# - **Choose on one part, report on another.** Whoever tries ten settings on a set and reports the best reports luck.
#
# Here sixty sample pictures stand for yours: eleven photographs with a description, and OpenMoji drawings with
# their Arabic names of Unicode CLDR. Neither was trained on.

# %%
folder = Path("tutorial-set")
samples = sample_pictures(folder, lambda done, found: None, limit=60)
rows = [{"image": str(sample.path.relative_to(folder)), "caption_ar": [sample.arabic]} for sample in samples]
(folder / "captions.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
pictures = load_dataset(str(folder))

# %% [markdown]
# ## Two models
#
# A model is anything with `width`, `encode_text` and `encode_image` that gives vectors of length one.

# %%
mini = AraCLIP.load()


class FirstHalf:
    """A model's vectors, cut to their first half and scaled to length one again."""

    width = mini.width // 2
    label = f"{mini.name}-half@{mini.fingerprint}"

    def encode_text(self, texts: Iterable[str]):
        """Texts → (n, D / 2)."""
        return self._cut(mini.encode_text(list(texts)))

    def encode_image(self, pictures: Iterable[Path]):
        """Files → (n, D / 2)."""
        return self._cut(mini.encode_image(list(pictures)))

    def _cut(self, vectors):
        half = vectors[:, : self.width]
        return half / (half**2).sum(axis=1, keepdims=True) ** 0.5


whole = evaluate(mini, pictures)
half = evaluate(FirstHalf(), pictures)

# %% [markdown]
# ## The figures, with their uncertainty
#
# R@1 is the share of captions whose own picture comes first among all sixty. The interval says between which values
# it would lie for other pictures of the same kind: with sixty pictures it is wide, and a difference inside it means
# nothing yet. `protocol.id` names all that must be equal before two figures may stand in one table.

# %%
for found in (whole, half):
    scores, low_high = measures(found.t2i), intervals(found.t2i)
    for name in ("R@1", "R@10"):
        low, high = low_high[name]
        print(f"{found.protocol.model:32} {name:5} {scores[name]:.2f}  [{low:.2f}, {high:.2f}]")

# %% [markdown]
# ## Is one better?
#
# Both models were asked the same captions, so they are compared caption by caption: far more telling than two intervals
# side by side. The permutation test asks how often a difference like this arises if the models are swapped at random.

# %%
for name in ("R@1", "R@10"):
    result = compare(whole.t2i, half.t2i, name)
    verdict = "better" if result.p_permutation < 0.05 else "not shown to be better"
    print(f"{name}: {result.difference:+.2f} [{result.low:+.2f}, {result.high:+.2f}]", end=", ")
    print(f"p = {result.p_permutation:.3f}: {verdict}")

# %% [markdown]
# "Not shown to be better" is not "equally good": more captions may show it. If you compare many models, correct for it:
# of twenty equal ones, one differs at p < .05.
#
# On the command line, `araclip evaluate --dataset tutorial-set --model araclip-mini --model NAME --report report.html`
# does the same for models that can be named, with a page of the queries on which they differ. [Evaluate a
# model](../evaluation.md) has the protocol in full.
