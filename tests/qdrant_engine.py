"""Qdrant's REST interface, as far as a gallery uses it, over Qdrant's own engine in this process.

`qdrant-edge-py` is the engine of the server (segments, payload indexes, filters, scores) without its network, its
consensus and its optimiser in the background. What stands here, and is ours, is the translation of JSON. So requests,
their encoding, time-outs, faults and the engine's answers are real; clusters, replicas and shards are not tried.

    python tests/qdrant_engine.py FOLDER    # serves on a free port, which it prints
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import qdrant_edge as edge

KINDS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "geo": edge.PayloadSchemaType.Geo,
}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Engine:
    """Collections, each a shard, and aliases. `faults`: statuses to answer instead (0: drop the connection); `slow`:
    seconds to wait; `key`: the API key to ask for; `requests`: what came in."""

    def __init__(self, folder: Path) -> None:
        self.faults: list[int] = []
        self.slow = 0.0
        self.key = ""
        self.requests: list[str] = []
        self.before: Any = None  # called with each request, outside the lock
        self._folder = folder
        self._lock = threading.Lock()
        self._shards: dict[str, tuple[edge.EdgeShard, dict[str, Any]]] = {}
        self._aliases: dict[str, str] = {}
        self._number = 0

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        parts = path.strip("/").split("/")
        if self.before:
            self.before(method, path, body)
        with self._lock:
            self.requests.append(f"{method} {path}")
            if path == "/aliases":
                pairs = [{"alias_name": alias, "collection_name": name} for alias, name in self._aliases.items()]
                return {"aliases": pairs}
            if path == "/collections/aliases":
                return self._set_aliases(body["actions"])
            if len(parts) == 2:
                return self._collection(method, parts[1], body)
            if parts[2] == "exists":
                return {"exists": self._aliases.get(parts[1], parts[1]) in self._shards}
            return self._points(f"{method} {'/'.join(parts[2:])}", self._shard(parts[1]), body)

    def _shard(self, name: str) -> edge.EdgeShard:
        name = self._aliases.get(name, name)
        if name not in self._shards:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return self._shards[name][0]

    def _set_aliases(self, actions: list[dict[str, Any]]) -> bool:
        for action in actions:
            made = action["create_alias"]
            self._shard(made["collection_name"])
            if made["alias_name"] in self._shards:
                raise Refused(409, f"Collection `{made['alias_name']}` already exists!")
            self._aliases[made["alias_name"]] = made["collection_name"]
        return True

    def _collection(self, method: str, name: str, body: dict[str, Any]) -> Any:
        if method == "PUT":
            if name in self._shards:
                raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
            about = body["vectors"]
            assert (about["distance"], about["datatype"]) == ("Dot", "float16")
            kind = edge.EdgeVectorParams(about["size"], edge.Distance.Dot, datatype=edge.VectorStorageDatatype.Float16)
            self._number += 1
            place = self._folder / str(self._number)
            place.mkdir(parents=True)
            self._shards[name] = (
                edge.EdgeShard.create(str(place), edge.EdgeConfig(vectors=kind, wal_enabled=False)),
                about,
            )
            return True
        if method == "DELETE":
            self._shards.pop(name)[0].close()
            self._aliases = {alias: target for alias, target in self._aliases.items() if target != name}
            return True
        shard, about = self._shards[self._aliases.get(name, name)]
        rest = {"optimizer_status": "ok", "status": "green", "segments_count": 1, "payload_schema": {}}
        config = {
            "params": {"vectors": about},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000,
                                 "default_segment_number": 0, "flush_interval_sec": 5},
        }  # fmt: skip
        return {**rest, "points_count": shard.info().points_count, "config": config}

    def _points(self, what: str, shard: edge.EdgeShard, body: dict[str, Any]) -> Any:
        wanted = _filter(body["filter"]) if body.get("filter") else None
        ids = body.get("points")
        if what == "PUT index":
            shard.update(edge.UpdateOperation.create_field_index(body["field_name"], KINDS[body["field_schema"]]))
        elif what == "PUT points":
            points = [edge.Point(each["id"], each["vector"], each["payload"]) for each in ids or ()]
            shard.update(edge.UpdateOperation.upsert_points(points))
        elif what == "POST points/delete":
            shard.update(edge.UpdateOperation.delete_points_by_filter(wanted))
        elif what == "POST points/payload":
            shard.update(edge.UpdateOperation.set_payload_by_filter(wanted, body["payload"]))
        elif what == "POST points/payload/delete":
            shard.update(edge.UpdateOperation.delete_payload_by_filter(wanted, body["keys"]))
        elif what == "POST points":
            found = shard.retrieve(body["ids"], body.get("with_payload", True), body.get("with_vector", False))
            return [_record(point) for point in found]
        elif what == "POST points/scroll":
            asked = edge.ScrollRequest(
                body.get("offset"), body["limit"], wanted, body.get("with_payload"), body.get("with_vector"),
                _order(body.get("order_by")),
            )  # fmt: skip
            found, following = shard.scroll(asked)
            return {"points": [_record(point) for point in found], "next_page_offset": following and str(following)}
        elif what == "POST points/count":
            return {"count": shard.count(edge.CountRequest(True, wanted))}
        elif what == "POST facet":
            answer = shard.facet(edge.FacetRequest(body["key"], body["limit"], body["exact"], wanted))
            return {"hits": [{"value": hit.value, "count": hit.count} for hit in answer.hits]}
        elif what == "POST points/query":
            return {"points": _query(shard, body, wanted)}
        else:
            raise Refused(404, f"no {what} here")
        return {"operation_id": 0, "status": "completed"}


def _query(shard: edge.EdgeShard, body: dict[str, Any], wanted: Any) -> list[dict[str, Any]]:
    params = body.get("params") or {}
    found = shard.query(
        edge.QueryRequest(
            limit=body["limit"],
            query=edge.Query.Nearest(body["query"]["nearest"] if isinstance(body["query"], dict) else body["query"]),
            filter=wanted,
            with_payload=body.get("with_payload"),
            params=edge.SearchParams(hnsw_ef=params.get("hnsw_ef"), exact=bool(params.get("exact"))),
        )
    )
    return [{**_record(point), "version": point.version, "score": point.score} for point in found]


def _order(body: dict[str, Any] | None) -> Any:
    if body is None:
        return None
    direction = edge.Direction.Asc if body["direction"] == "asc" else edge.Direction.Desc
    return edge.OrderBy(body["key"], direction)


def _record(point: Any) -> dict[str, Any]:
    vector = point.vector
    if isinstance(vector, dict):
        vector = vector.get("")
    return {"id": str(point.id), "payload": point.payload, "vector": vector and list(vector)}


def _filter(body: dict[str, Any]) -> Any:
    kinds = ("must", "should", "must_not")
    return edge.Filter(**{kind: [_condition(each) for each in body.get(kind) or []] or None for kind in kinds})


def _condition(body: dict[str, Any]) -> Any:
    if "has_id" in body:
        return edge.HasIdCondition(set(body["has_id"]))
    if "nested" in body:
        return edge.NestedCondition(body["nested"]["key"], _filter(body["nested"]["filter"]))
    if "is_empty" in body:
        return edge.IsEmptyCondition(body["is_empty"]["key"])
    if "key" not in body:
        return _filter(body)
    match, range_ = body.get("match"), body.get("range")
    if match:
        matched = edge.MatchValue(match["value"]) if "value" in match else edge.MatchAny(match["any"])
        return edge.FieldCondition(body["key"], match=matched)
    if around := body.get("geo_radius"):
        centre = edge.GeoPoint(around["center"]["lon"], around["center"]["lat"])
        return edge.FieldCondition(body["key"], geo_radius=edge.GeoRadius(centre, around["radius"]))
    ends = {end: range_[end] for end in ("gte", "gt", "lte", "lt") if range_.get(end) is not None}
    return edge.FieldCondition(body["key"], range=edge.RangeFloat(**ends))


# ------------------------------------------------------------------ the network


@contextmanager
def serving(engine: Engine) -> Iterator[int]:
    """Serve on a free port of this machine, which is what this yields."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            time.sleep(engine.slow)
            if engine.key and self.headers.get("api-key") != engine.key:
                return self._say(401, {"status": {"error": "Unauthorized"}})
            if engine.faults:
                status = engine.faults.pop(0)
                if status == 0:
                    self.close_connection = True
                    return None
                return self._say(status, {"status": {"error": "a fault that was asked for"}})
            try:
                result = engine.answer(self.command, self.path.partition("?")[0], body)
            except Refused as error:
                return self._say(error.status, {"status": {"error": str(error)}})
            except Exception as error:
                return self._say(400, {"status": {"error": f"{type(error).__name__}: {error}"}})
            return self._say(200, {"result": result, "status": "ok", "time": 0.0})

        def _say(self, status: int, answer: dict[str, Any]) -> None:
            written = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving(Engine(Path(sys.argv[1]))) as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        sys.stdin.read()
