"""Galleries on a server: network faults, leases, re-embedding."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pictures
from araclip import AraCLIP
from araclip.errors import (
    GalleryCorrupt,
    GalleryError,
    GalleryLocked,
    GalleryUnreachable,
    InputError,
    NewerGallery,
    WidthMismatch,
)
from araclip.gallery.open import open_gallery, reembed_gallery
from tiny import write_tiny_model

pytest.importorskip("qdrant_client")
from qdrant_client import QdrantClient, models

from araclip.gallery.qdrant import connection as connections
from araclip.gallery.qdrant import lease as leases
from araclip.gallery.qdrant.conditions import state_where
from araclip.gallery.qdrant.gallery import QdrantGallery
from araclip.gallery.qdrant.lease import Lease
from qdrant_engine import Engine, Refused

WRITES = ("PUT", "POST /points/delete", "payload")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> AraCLIP:
    return AraCLIP.load(tiny_model, threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "صور"
    for i, colour in enumerate((pictures.RED, pictures.GREEN, pictures.BLUE)):
        pictures.solid(root / f"{i}.png", colour)
    return root


def open_(address: str, model: AraCLIP, **more: Any) -> QdrantGallery:
    return QdrantGallery.open(address, model=model, create=True, **more)


def found(gallery: QdrantGallery) -> list[str]:
    return sorted(Path(hit.path).name for hit in gallery.search("صورة", 100))


class Clock:
    """A clock for the lease, `ahead` seconds before the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        monkeypatch.setattr(leases, "time", self)

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs exact")
def test_the_graph_s_batches_give_no_picture_twice(
    model: AraCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(24):  # a search for half of the names asks for several batches
        pictures.solid(tmp_path / "p" / f"{'no' if i % 2 else 'yes'} {i}.png", (250 - 10 * i, 10 * i, 40))
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    client = QdrantClient(":memory:")
    ask = client.query_points

    def through_a_graph(*args: Any, limit: int, **more: Any) -> Any:
        answer = ask(*args, limit=limit + 2, **more)
        if len(answer.points) == limit + 2:  # the nearest two are only found in the last batch
            answer.points = answer.points[2:]
        return answer

    with QdrantGallery.open("qdrant://nowhere/memory", model=model, create=True, exact=False, client=client) as gallery:
        gallery.update([tmp_path / "p"])
        monkeypatch.setattr(client, "query_points", through_a_graph)
        hits = [hit.path for hit in gallery.search("أحمر", 12, where="name=yes*")]
        assert len(hits) == len(set(hits)) == 12


# ------------------------------------------------------------------ the network


def test_transient_faults_of_server_and_network_are_retried(
    engine: Engine, address: str, model: AraCLIP, folder: Path
) -> None:
    with open_(address, model) as gallery:
        engine.faults = [503, 0, 502]
        gallery.update([folder])
        engine.faults = [429, 0, 0, 504]
        assert found(gallery) == ["0.png", "1.png", "2.png"]
    assert engine.faults == []


def test_a_server_that_does_not_answer_is_named_with_what_to_do(engine: Engine, address: str, model: AraCLIP) -> None:
    with open_(address, model) as gallery:
        engine.faults = [503] * 50
        with pytest.raises(GalleryUnreachable, match=rf"{address}.*503.*after 5 tries.*Check that it runs"):
            gallery.search("أحمر")
        assert len(engine.faults) == 45
    with pytest.raises(
        GalleryUnreachable, match=r"qdrant://127\.0\.0\.1:9/pictures: the Qdrant server does not answer"
    ):
        open_gallery("qdrant://127.0.0.1:9/pictures", model=model)


def test_a_server_that_is_too_slow_is_not_waited_for_without_end(
    engine: Engine, address: str, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_(address, model).close()
    engine.slow = 1.2
    monkeypatch.setattr(connections, "TRIES", 2)
    port = int(address.split(":")[2].split("/", maxsplit=1)[0])
    start = time.monotonic()
    with pytest.raises(GalleryUnreachable, match="timed out"):
        open_(address, model, client=QdrantClient(port=port, host="127.0.0.1", timeout=1, check_compatibility=False))
    assert time.monotonic() - start < 30
    engine.slow = 0


def test_the_api_key_comes_from_the_environment_and_is_never_shown(
    engine: Engine, address: str, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.key = "very-secret"
    with pytest.raises(GalleryError, match=r"refuses the API key \(401\).*ARACLIP_QDRANT_API_KEY"):
        open_(address, model)
    monkeypatch.setenv("ARACLIP_QDRANT_API_KEY", "very-wrong")
    with pytest.raises(GalleryError) as caught:
        open_(address, model)
    assert "very" not in str(caught.value)
    monkeypatch.setenv("ARACLIP_QDRANT_API_KEY", "very-secret")
    with open_(address, model) as gallery:
        assert "very" not in gallery.folder + repr(gallery) + str(gallery.stats())


def test_a_refusal_of_the_server_is_quoted(engine: Engine, address: str, model: AraCLIP) -> None:
    with open_(address, model) as gallery:
        engine.before = lambda *_: (_ for _ in ()).throw(Refused(507, "the disk is full"))
        with pytest.raises(GalleryError, match=r"refuses the request \(507\).*the disk is full"):
            gallery.search("أحمر")
        engine.before = None


def test_an_answer_that_is_not_qdrants_is_reported(engine: Engine, address: str, model: AraCLIP) -> None:
    engine.answer = lambda *_: "<html>"  # type: ignore[method-assign]
    with pytest.raises(
        GalleryError, match=r"cannot read the server's answer.*check that the address is a Qdrant server's"
    ):
        open_(address, model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qdrant://host", "names no collection"),
        ("qdrant://host:port/c", "has an invalid port"),
        ("qdrant:///c", "not the address of a gallery"),
        ("ftp://host/c", "not the address of a gallery"),
        ("https://host/a%20b", "other characters"),
        ("qdrant://me:pass@host/c", "must not hold a password.*ARACLIP_QDRANT_API_KEY"),
        ("postgresql+psycopg2://me:pass@host/c", "not the address of a gallery"),
        ("FTP://me:pass@host/c", "not the address of a gallery"),
    ],
)
def test_an_invalid_address_is_refused_with_an_example(text: str, message: str, model: AraCLIP) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_gallery(text, model=model)
    assert "qdrant://HOST:6333/COLLECTION" in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_without_the_extra_the_package_is_named(model: AraCLIP, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("engine", "gallery"):
        monkeypatch.delitem(sys.modules, f"araclip.gallery.qdrant.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(InputError, match=r"pip install 'araclip\[qdrant\]'"):
        open_gallery("qdrant://host/c", model=model)


def test_a_collection_of_others_and_of_a_later_release_is_left_alone(
    engine: Engine, address: str, model: AraCLIP
) -> None:
    with open_(address, model) as gallery:
        own = gallery._catalog.connection
        own.set_payload({"araclip": 99}, state_where())
        with pytest.raises(NewerGallery, match=r"layout 99.*Upgrade"):
            open_(address, model)
        own.delete(state_where())
        with pytest.raises(GalleryCorrupt, match="not a gallery of AraCLIP"):
            open_(address, model)


# ------------------------------------------------------------------ who may write


def test_a_lease_that_ran_out_is_taken_over_and_its_old_owner_stops(
    address: str, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lease, "_renew", lambda self: None)  # a process that was put to sleep
    clock = Clock(monkeypatch)
    with open_(address, model) as gallery:
        own = gallery._catalog.connection
        with Lease(own).held() as first:
            first.check()
            with (
                pytest.raises(GalleryLocked, match=r"being written by process \d+ on .*within \d+ seconds"),
                Lease(own).held(),
            ):
                pass
            clock.ahead += leases.SECONDS + 1
            with pytest.raises(GalleryLocked, match="the lease was lost"):
                first.check()
            with Lease(own).held() as second:
                second.check()
        with Lease(own).held() as third:  # what the first gave back was not the second's
            third.check()


def test_a_lease_is_renewed_while_its_owner_works(
    address: str, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW", 0.1)
    clock = Clock(monkeypatch)
    with open_(address, model) as gallery:
        own = gallery._catalog.connection
        with Lease(own).held() as lease:
            for _ in range(6):
                clock.ahead += leases.SECONDS / 2
                now, give_up = clock.time(), time.monotonic() + 60
                while lease._state()["expires"] < now + leases.SECONDS:  # until the background thread has renewed it
                    assert time.monotonic() < give_up, "the lease is not renewed"
                    time.sleep(0.02)
                lease.check()
            with pytest.raises(GalleryLocked), Lease(own).held():
                pass


def test_a_commit_of_a_deposed_writer_changes_nothing(
    engine: Engine, address: str, model: AraCLIP, folder: Path
) -> None:
    with open_(address, model) as gallery:
        gallery.update([folder])
        pictures.solid(folder / "3.png", (9, 9, 9))

        def depose(method: str, path: str, body: dict[str, Any]) -> None:
            if path.endswith("/points") and method == "PUT":  # between its first write and its last
                engine.before = None
                gallery._catalog.connection.set_payload({"writer": "another"}, state_where())

        engine.before = depose
        with pytest.raises(GalleryLocked, match="another process took over"):
            gallery.update([folder])
        assert found(gallery) == ["0.png", "1.png", "2.png"]


def test_an_unchanged_folder_costs_no_write_of_pictures(
    engine: Engine, address: str, model: AraCLIP, folder: Path
) -> None:
    with open_(address, model) as gallery:
        gallery.update([folder])
        generation = gallery.stats().generation
        engine.requests.clear()
        gallery.update([folder])
        assert not [each for each in engine.requests if each.startswith("PUT")]
        assert gallery.stats().generation == generation


# ------------------------------------------------------------------ another model


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> AraCLIP:
    return AraCLIP.load(write_tiny_model(tmp_path_factory.mktemp("other") / "m", width=12, seed=1, name="other"))


def test_reembed_switches_all_vectors_at_once_and_keeps_everything_else(
    engine: Engine, address: str, model: AraCLIP, other: AraCLIP, folder: Path
) -> None:
    with open_(address, model) as old:
        old.update([folder])
        old.add([folder / "0.png"], metadata={"album": "رحلة"})
        (kept,) = old.add([(folder / "2.png").read_bytes()]).paths
        during: list[int] = []
        made = reembed_gallery(address, other, progress=lambda done, total: during.append(len(old.search("أحمر", 9))))
        assert (made, set(during)) == (3, {3})
        with pytest.raises(WidthMismatch, match="12-wide vectors of other"):
            old.search("أحمر")
    with open_(address, other) as new:
        assert Path(new.search("أحمر", 1)[0].path).name == "0.png"
        assert new.metadata(str(folder / "0.png")) == {"album": "رحلة"}
        assert kept is not None
        assert new.picture(kept)[:2] == b"\xff\xd8"
        assert new.verify(contents=True) == []
        assert new.update([folder]).added == 0
    assert reembed_gallery(address, other) == 0
    assert len(engine._shards) == 1


def test_reembed_goes_on_where_it_was_and_switches_nothing_while_a_picture_cannot_be_read(
    address: str, model: AraCLIP, other: AraCLIP, folder: Path
) -> None:
    with open_(address, model) as old:
        old.update([folder])
        hidden = (folder / "1.png").rename(folder.parent / "1.png")
        lines: list[str] = []
        with pytest.raises(GalleryError, match=r"1 picture of qdrant://.*--forget-missing"):
            reembed_gallery(address, other, skip=lines.append)
        assert [Path(line.split(": cannot")[0]).name for line in lines] == ["1.png"]
        assert found(old) == ["0.png", "1.png", "2.png"]
        hidden.rename(folder / "1.png")
        assert reembed_gallery(address, other) == 1
    with open_(address, other) as new:
        assert found(new) == ["0.png", "1.png", "2.png"]
        (folder / "1.png").unlink()
    assert reembed_gallery(address, model, forget_missing=True) == 2
    with open_(address, model) as again:
        assert found(again) == ["0.png", "2.png"]


def test_a_damaged_vector_is_found_and_encoded_again(address: str, model: AraCLIP, folder: Path) -> None:
    with open_(address, model) as gallery:
        gallery.update([folder])
        own = gallery._catalog.connection
        row = next(row for row in gallery._catalog.rows() if row.files[0].file.path.endswith("0.png"))
        (point,) = own.call("retrieve", ids=[row.point], with_payload=True)
        own.upsert([models.PointStruct(id=row.point, vector=[0.5] + [0.0] * 7, payload=point.payload)])
        (fault,) = gallery.verify()
        assert (Path(fault.where).name, fault.repairable) == ("0.png", True)
        assert gallery.repair() == [f"{folder / '0.png'}: encoded again."]
        assert gallery.verify() == []
        score = gallery.search("أحمر", 1)[0].score
        assert score == pytest.approx(
            float(np.dot(*model.encode_image([folder / "0.png"]), model.encode_text(["أحمر"])[0])), abs=2e-3
        )
