"""The state of a collection (model, generation, writer), and creating new collections."""

import contextlib
import secrets
import time

from qdrant_client import models

from araclip.encoder import Encoder
from araclip.errors import GalleryCorrupt, GalleryError, NewerGallery
from araclip.gallery.addresses import QdrantAddress
from araclip.gallery.qdrant.conditions import INDEXES, equals, state_where, visible
from araclip.gallery.qdrant.connection import Connection, connection_to
from araclip.gallery.qdrant.payloads import STATE
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.state import State

LAYOUT = 1  # version of the payloads; raise it when they change


def read_state(connection: Connection) -> State:
    """The current state.

    Raises:
        GalleryNotFound: no such collection.
        GalleryCorrupt: the collection is not a gallery.
        NewerGallery: a later release created it.
    """
    found = connection.call("retrieve", ids=[STATE], with_payload=True)
    payload = found[0].payload if found else {}
    if "araclip" not in payload:
        raise GalleryCorrupt(
            f"{connection.name} is a collection, but not a gallery of AraCLIP. Choose another name; it is not touched."
        )
    if payload["araclip"] > LAYOUT:
        raise NewerGallery(
            f"{connection.name} has layout {payload['araclip']}, this release knows up to {LAYOUT}. Upgrade araclip to "
            "use this gallery."
        )
    model = RecordedModel.read(lambda key: str(payload.get(key, "")))
    return State(model, payload["birth"], payload["generation"], payload["writer"])


def recorded_at(place: QdrantAddress | Connection) -> RecordedModel | None:
    """What a gallery records of its model; None where there is none.

    Raises:
        GalleryCorrupt, NewerGallery, GalleryUnreachable: as for `read_state`.
    """
    if isinstance(place, Connection):
        return read_state(place).model if place.exists() else None
    with contextlib.closing(connection_to(place)) as connection:
        return recorded_at(connection)


def picture_count(address: QdrantAddress) -> int:
    """The number of pictures of the gallery at an address, of whatever model.

    Raises:
        GalleryNotFound, GalleryCorrupt, NewerGallery, GalleryUnreachable: as for `read_state`.
    """
    with contextlib.closing(connection_to(address)) as connection:
        return connection.count(visible(read_state(connection).number))


def advance(connection: Connection, state: State, token: str) -> bool:
    """Make the next generation current if `token` still holds the lease; returns whether it did."""
    condition = state_where(equals("writer", token), equals("generation", state.number))
    connection.set_payload({"generation": state.number + 1}, condition)
    now = read_state(connection)
    return (now.number, now.writer) == (state.number + 1, token)


def physical_name(collection: str, fingerprint: str) -> str:
    """The name of the collection with a model's vectors; the alias `collection` points to one of them."""
    return f"{collection}--{fingerprint}"


def create(connection: Connection, model: Encoder) -> None:
    """Create a gallery under a free name; if two processes do so at once, both end with the same one."""
    target = ensure_collection(connection.of(physical_name(connection.collection, model.fingerprint)), model)
    if not connection.exists():
        point_alias(connection, target.collection)


def ensure_collection(connection: Connection, model: Encoder, number: int = 0) -> Connection:
    """Create a collection with its payload indexes and its state, or what is missing of them."""
    if not connection.exists():
        params = models.VectorParams(size=model.width, distance=models.Distance.DOT, datatype=models.Datatype.FLOAT16)
        with contextlib.suppress(GalleryError):  # another process may have created it; if not, the next request fails
            connection.call("create_collection", vectors_config=params)
    ensure_indexes(connection)
    if not connection.call("retrieve", ids=[STATE]):
        birth = secrets.token_hex(8)
        about = {"araclip": LAYOUT, "model": model.name, "fingerprint": model.fingerprint, "width": model.width}
        about |= RecordedModel.of(model).whereabouts()
        about |= {"birth": birth, "generation": number, "writer": "", "owner": "", "expires": 0.0, "made": time.time()}
        connection.upsert([models.PointStruct(id=STATE, vector=[0.0] * model.width, payload=about)])
    return connection


def ensure_indexes(connection: Connection) -> None:
    """Create the payload indexes that are missing."""
    for field, kind in INDEXES.items():
        connection.call("create_payload_index", field_name=field, field_schema=kind, wait=True)


def point_alias(connection: Connection, collection: str) -> None:
    """Point the gallery's alias to `collection`, atomically."""
    alias = models.CreateAlias(collection_name=collection, alias_name=connection.collection)
    operation = models.CreateAliasOperation(create_alias=alias)
    connection.call_server("update_collection_aliases", change_aliases_operations=[operation])
