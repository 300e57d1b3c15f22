"""Recall of Arabic text queries on pgvector's graph, in a private PostgreSQL server (tests/postgres_server.py).

    araclip export-gallery OUT          # OUT/vectors.npy; or vectors of any model, (n, D) of unit length
    python benchmarks/graph_recall.py --pictures OUT/vectors.npy [MORE.npy …] --texts TEXTS.npy [--count 50000]

Pictures beyond those given are made of them (benchmarks/made_vectors.py). Recall@10 is the share of the ten exact
nearest pictures that a search returns, a mean over the texts. The graph is that of a gallery there (halfvec, m 16),
with ef_construction 64.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
from made_vectors import made_vectors

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
WANTED = 10


def exact(pictures: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """(q, WANTED) rows of the nearest pictures."""
    return faiss.knn(texts, pictures, WANTED, metric=faiss.METRIC_INNER_PRODUCT)[1]


def recall(found: Callable[[np.ndarray], list[int]], texts: np.ndarray, truth: np.ndarray) -> float:
    """The mean share of the truth that a search finds."""
    return float(
        np.mean([len(set(found(text)) & set(row.tolist())) / WANTED for text, row in zip(texts, truth, strict=True)])
    )


def in_postgres(pictures: np.ndarray) -> Iterator[tuple[str, Callable[[np.ndarray], list[int]]]]:
    """Searches through pgvector's graph, by their effort."""
    import postgres_server
    from araclip.gallery.locations import Address
    from araclip.gallery.postgres.database import Database
    from araclip.gallery.postgres.schema import pg_vector

    database = Database(Address.read(postgres_server.new_address()))
    with database.locked():
        database.rows("CREATE EXTENSION vector SCHEMA public")
        database.rows(f"CREATE TABLE public.vectors (content bigint, vector halfvec({pictures.shape[1]}))")
        for start in range(0, len(pictures), 1000):
            rows = [[start + i, pg_vector(vector)] for i, vector in enumerate(pictures[start : start + 1000])]
            values = ", ".join(["(?, ?)"] * len(rows))
            database.rows(f"INSERT INTO public.vectors VALUES {values}", [each for row in rows for each in row])
        database.rows("SET maintenance_work_mem = '1GB'")
        database.rows("CREATE INDEX ON public.vectors USING hnsw (vector halfvec_ip_ops)")
        for ef in (40, 100, 400, 1000):
            database.rows(f"SET hnsw.ef_search = {ef}")

            def search(text: np.ndarray) -> list[int]:
                sql = "SELECT content FROM public.vectors ORDER BY vector <#> ? LIMIT ?"
                return [content for (content,) in database.rows(sql, (pg_vector(text), WANTED))]

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
    print("| search | recall@10 |\n|---|---|", flush=True)
    for name, search in in_postgres(pictures):
        print(f"| {name} | {recall(search, texts, truth):.3f} |", flush=True)


if __name__ == "__main__":
    main()
