"""Recall of Arabic text queries on the graphs of servers, with and without quantization and rescoring.

    araclip export-gallery OUT          # OUT/vectors.npy; or vectors of any model, (n, D) of unit length
    python benchmarks/quantization.py --pictures OUT/vectors.npy [MORE.npy …] --texts TEXTS.npy [--count 50000]

Pictures beyond those given are made of them (benchmarks/made_vectors.py). Recall@10 is the share of the ten exact
nearest pictures that a search returns, a mean over the texts. Qdrant's engine (qdrant-edge-py) is asked through its
graph (m 16, ef_construct 100); quantization `none` compares float16 vectors, the others codes, of which `rescore`
scores the best again exactly, ten or `oversampling` times as many. pgvector is asked in a private PostgreSQL server
where one is installed (tests/postgres_server.py), through the graph of a gallery there (halfvec, m 16,
ef_construction 64).
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
import qdrant_edge as qdrant
from made_vectors import made_vectors

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
WANTED = 10
KINDS = {
    "none": None,
    "int8": qdrant.ScalarQuantizationConfig(qdrant.ScalarType.Int8, always_ram=True),
    "turbo, 4 bits": qdrant.TurboQuantQuantizationConfig(always_ram=True, bits=qdrant.TurboQuantBitSize.Bits4),
    "binary": qdrant.BinaryQuantizationConfig(always_ram=True),
}
BYTES = {"none": 2, "int8": 1, "turbo, 4 bits": 1 / 2, "binary": 1 / 8}  # a dimension


def exact(pictures: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """(q, WANTED) rows of the nearest pictures."""
    return faiss.knn(texts, pictures, WANTED, metric=faiss.METRIC_INNER_PRODUCT)[1]


def recall(found: Callable[[np.ndarray], list[int]], texts: np.ndarray, truth: np.ndarray) -> float:
    """The mean share of the truth that a search finds."""
    return float(
        np.mean([len(set(found(text)) & set(row.tolist())) / WANTED for text, row in zip(texts, truth, strict=True)])
    )


def in_qdrant(pictures: np.ndarray, kind: str, folder: Path) -> qdrant.EdgeShard:
    """A shard with a graph, and codes of a kind."""
    params = qdrant.EdgeVectorParams(
        pictures.shape[1], qdrant.Distance.Dot, datatype=qdrant.VectorStorageDatatype.Float16
    )
    config = qdrant.EdgeConfig(
        params, hnsw_config=qdrant.HnswIndexConfig(16, 100, 1000), quantization_config=KINDS[kind], wal_enabled=False,
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=1000, default_segment_number=1),
    )  # fmt: skip
    shard = qdrant.EdgeShard.create(str(folder), config)
    for start in range(0, len(pictures), 2000):
        some = pictures[start : start + 2000]
        shard.update(
            qdrant.UpdateOperation.upsert_points(
                [qdrant.Point(start + i, vector.tolist(), {}) for i, vector in enumerate(some)]
            )
        )
    shard.optimize()
    return shard


def asked(shard: qdrant.EdgeShard, ef: int, rescore: bool, oversampling: float) -> Callable[[np.ndarray], list[int]]:
    """A search with these parameters."""
    how = qdrant.SearchParams(
        hnsw_ef=ef, quantization=qdrant.QuantizationSearchParams(rescore=rescore, oversampling=oversampling)
    )

    def search(text: np.ndarray) -> list[int]:
        query = qdrant.Query.Nearest(text.tolist())
        return [point.id for point in shard.query(qdrant.QueryRequest(limit=WANTED, query=query, params=how))]

    return search


def in_postgres(pictures: np.ndarray) -> Iterator[tuple[str, Callable[[np.ndarray], list[int]]]]:
    """Searches through pgvector's graph, by their effort."""
    import postgres_server
    from araclip.gallery.addresses import Address
    from araclip.gallery.postgres.database import Database
    from araclip.gallery.postgres.values import sent

    if postgres_server.programs() is None:
        return
    database = Database(Address.read(postgres_server.new_address()))  # type: ignore[arg-type]
    with database.locked():
        database.rows("CREATE EXTENSION vector SCHEMA public")
        database.rows(f"CREATE TABLE public.vectors (content bigint, vector halfvec({pictures.shape[1]}))")
        for start in range(0, len(pictures), 1000):
            rows = [[start + i, sent(vector)] for i, vector in enumerate(pictures[start : start + 1000])]
            values = ", ".join(["(?, ?)"] * len(rows))
            database.rows(f"INSERT INTO public.vectors VALUES {values}", [each for row in rows for each in row])
        database.rows("SET maintenance_work_mem = '1GB'")
        database.rows("CREATE INDEX ON public.vectors USING hnsw (vector halfvec_ip_ops)")
        for ef in (40, 100, 400, 1000):
            database.rows(f"SET hnsw.ef_search = {ef}")

            def search(text: np.ndarray) -> list[int]:
                sql = "SELECT content FROM public.vectors ORDER BY vector <#> ? LIMIT ?"
                return [content for (content,) in database.rows(sql, (sent(text), WANTED))]

            yield f"ef {ef}", search
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=500)
    options = parser.parse_args()
    real = np.concatenate([np.load(path).astype(np.float32) for path in options.pictures])
    pictures = np.concatenate(
        [real.astype(np.float16).astype(np.float32), *made_vectors(real, options.count - len(real))]
    )
    texts = np.load(options.texts).astype(np.float32)
    texts = texts[np.random.default_rng(0).permutation(len(texts))[: options.queries]]
    truth = exact(pictures, texts)
    print(f"{len(pictures):,} vectors of {pictures.shape[1]}, {len(real):,} of them real; {len(texts)} texts")
    print("| engine | vectors in memory | bytes | search | recall@10 |\n|---|---|---|---|---|", flush=True)
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            shard = in_qdrant(pictures, kind, Path(folder))
            ways = [(100, False, 1.0), (512, False, 1.0)]
            ways += [] if kind == "none" else [(512, True, 1.0), (512, True, 3.0), (512, True, 10.0)]
            for ef, rescore, more in ways:
                name = f"ef {ef}" + (f", rescore, oversampling {more:g}" if rescore else "")
                share = recall(asked(shard, ef, rescore, more), texts, truth)
                size = round(BYTES[kind] * pictures.shape[1])
                print(f"| Qdrant's engine | {kind} | {size} | {name} | {share:.3f} |", flush=True)
            shard.close()
    for name, search in in_postgres(pictures):
        print(
            f"| pgvector | none | {2 * pictures.shape[1]} | {name} | {recall(search, texts, truth):.3f} |", flush=True
        )


if __name__ == "__main__":
    main()
