"""Suggestions while a query is typed: from this gallery's folders, texts and names, and queries that find something."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray

from araclip.display import shown
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.full_text.vocabulary import Vocabulary
from araclip.gallery.queries.completion import completions, matching
from araclip.gallery.queries.reference_queries import EVERYDAY
from araclip.server.gallery.example_queries import ENGLISH
from araclip.server.routes.clients import ClientOf, while_connected
from araclip.server.routes.dependencies import READ, GuardedRoute, ServiceOf, problems
from araclip.server.schemas import Suggestion, SuggestionsAnswer
from araclip.server.service import Service

router = APIRouter(route_class=GuardedRoute, tags=["search"], dependencies=READ)
MAX_TYPED = 200  # characters; longer queries are no beginnings
MOST = 20
WORDS = 3  # of the lexicon that are encoded for one answer, to see whether they find something
ARABIC_OF = {english: arabic for arabic, english in ENGLISH.items()}


@router.get("/suggestions", responses=problems(401, 403, 422, 429))
async def suggestions(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    q: Annotated[str, Query(max_length=MAX_TYPED, description="What is typed so far.")],
    k: Annotated[int, Query(ge=1, le=MOST)] = 8,
) -> SuggestionsAnswer:
    """Queries that begin with what is typed; nothing is asked of another host, and nothing typed is stored."""
    with service.searches.entered(client):
        return await while_connected(request, _suggested(service, client, q, k))


async def _suggested(service: Service, client: str, typed: str, most: int) -> SuggestionsAnswer:
    known = await service.in_thread(lambda: _candidates(service, typed))
    words = [text for text, row in known if row is None]
    encoded = dict(zip(words, await service.texts.rows(words, client), strict=True)) if words else {}
    return await service.in_thread(lambda: _completed(service, typed, most, known, encoded))


def _candidates(service: Service, typed: str) -> list[tuple[str, int | None]]:
    """Queries that may complete what is typed, with the row of EVERYDAY that has their vector, or None."""
    rows = {text: row for row, text in enumerate(EVERYDAY)}
    everyday = matching(typed, [*EVERYDAY, *ARABIC_OF], MOST)
    entries = service.interpreter.lexicon.entries
    lexicon = matching(typed, [*(each.standard for each in entries), *(each.english for each in entries)], MOST)
    others = [text for text in dict.fromkeys(lexicon) if text not in everyday][:WORDS]
    return [(text, rows[ARABIC_OF.get(text, text)]) for text in everyday] + [(text, None) for text in others]


def _completed(
    service: Service,
    typed: str,
    most: int,
    known: list[tuple[str, int | None]],
    encoded: dict[str, NDArray[np.float32]],
) -> SuggestionsAnswer:
    gallery = service.gallery
    vectors = gallery.snapshot.reference.everyday
    examples = gallery.examples() if gallery.snapshot.scale else ()  # those that the page shows
    finding = [
        text for text, row in known
        if ARABIC_OF.get(text, text) in examples or gallery.finds(text, encoded[text] if row is None else vectors[row])
    ]  # fmt: skip
    store = gallery.store
    source = Vocabulary(store) if isinstance(store, Catalog) else None
    found = completions(typed, source, gallery.overview().folders, finding, most)
    return SuggestionsAnswer(suggestions=[Suggestion(text=shown(each.text), kind=each.kind) for each in found])
