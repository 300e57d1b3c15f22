"""Why a query finds a picture: each word's share of the score."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.queries.explanation import texts_of_shares, word_shares
from araclip.gallery.queries.interpretation import Part
from araclip.gallery.queries.query import parse
from araclip.server.routes.clients import ClientOf, while_connected
from araclip.server.routes.dependencies import READ, GuardedRoute, ServiceOf, problems
from araclip.server.routes.search import read_query, stored_vector
from araclip.server.schemas import Identity
from araclip.server.service import Service

router = APIRouter(route_class=GuardedRoute, tags=["search"], dependencies=READ)


class WordShare(BaseModel):
    """A word of the query as it was read."""

    word: str
    share: float = Field(description="The cosine that the picture loses without it; below 0: it would gain.")


class Explanation(BaseModel):
    """Why a query finds a picture."""

    words: list[WordShare]


@router.get("/images/{identity}/explain", responses=problems(400, 401, 403, 404, 422, 429, 503))
async def explain(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    identity: Identity,
    q: Annotated[str, Query(description="The query, as for /search.")],
    literal: Annotated[bool, Query(description="Take the words as they are typed.")] = False,
    ignore: Annotated[list[Part], Query(max_length=4, description="Parts taken as they are typed.")] = [],  # noqa: B006
) -> Explanation:
    """What the score of a picture loses when the query is asked without each of its words."""
    return await while_connected(request, _explained(service, client, identity, q, literal, ignore))


async def _explained(
    service: Service, client: str, identity: str, q: str, literal: bool, ignore: list[Part]
) -> Explanation:
    most = service.settings.max_text
    if len(q) > most:
        raise InputError(f"the query has {len(q)} characters, the most is {most}. Leave some out.")
    query = parse(q)
    with service.searches.entered(client):
        picture = await service.in_thread(lambda: stored_vector(service, identity))
        read, vectors = await read_query(
            service, service.gallery.snapshot, query, Filters(), {}, client, literal=literal, ignore=ignore
        )
        terms, texts = read.own(vectors), texts_of_shares(read)
        vector_of = dict(zip(texts, await service.texts.rows(texts, client), strict=True))
    shares = word_shares(read, terms, picture, vector_of)
    return Explanation(words=[WordShare(word=each.word, share=round(each.share, 4)) for each in shares])
