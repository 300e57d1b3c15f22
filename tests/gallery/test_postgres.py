"""A gallery in a real PostgreSQL server: what can go wrong, and what that server has and others have not."""

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

import pictures
import postgres_server
from araclip import AraCLIP, open_gallery
from araclip.errors import (
    GalleryCorrupt,
    GalleryError,
    GalleryLocked,
    GalleryNotFound,
    GalleryUnreachable,
    InputError,
    NewerGallery,
    WidthMismatch,
)
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import File
from araclip.gallery.locations import Address
from araclip.gallery.open import reembed_gallery
from araclip.pictures.facts import Facts
from araclip.pictures.formats import FORMATS
from postgres_server import PASSWORD, needs_private, needs_server
from tiny import write_tiny_model

pytest.importorskip("pg8000")
from araclip.gallery.catalog.matching import mark, marks_of
from araclip.gallery.postgres import database as databases
from araclip.gallery.postgres import schema, search
from araclip.gallery.postgres.conditions import any_file_passes
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.gallery import PostgresGallery
from araclip.gallery.postgres.schema import FileEntry, Row, pg_vector
from araclip.gallery.ranking import Page

SECRET = "postgresql://me:p%40ss%2Fword@host:6000/db?schema=other&sslmode=require"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://me:secret@host", "names no host or no database"),
        ("postgresql://me:secret@host/db?option=1", "unknown option 'option'"),
        ("postgresql://me:secret@host/db?sslmode=no", "sslmode is 'no'"),
        ("postgresql://me:secret@host/db?schema=a-b", "the schema 'a-b' has other characters"),
        ("postgresql://me:secret@host:port/db", "invalid port"),
        ("postgresql://me:se/secret@host/db", "invalid port.*written %2F"),
        ("postgresql://me:12/secret@host", "a password with signs"),
        ("postgresql://me:12/secret@host/db", "a password with signs"),
        ("postgresql://me:12#secret@host/db", "a password with signs"),
        ("postgresql://me:12?secret@host/db", "names no host or no database"),
        ("postgresql://host/db?user=me&password=s@secret", r"unknown option 'user'.*\$PGPASSWORD"),
    ],
)
def test_the_password_of_an_address_is_never_shown(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Address.read(text)
    assert "secret" not in str(caught.value)
    address = Address.read(SECRET)
    assert (address.password, address.port, address.schema, address.ssl) == ("p@ss/word", 6000, "other", "require")
    assert str(address) == "postgresql://me@host:6000/db?schema=other&sslmode=require"
    assert "p@ss" not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "qdrant://me:pass@host:6333/pictures", "qdrant+https://host/pictures", "https://host:6333/pictures", "ftp://host/c",
        "postgresql+psycopg2://me:pass@host/c", "FTP://me:pass@host/c",
    ],
)  # fmt: skip
def test_an_address_of_another_kind_of_server_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"not the address of a gallery.*PostgreSQL with pgvector") as caught:
        open_gallery(text)
    assert "postgresql://USER@HOST/DATABASE" in str(caught.value) and "pass" not in str(caught.value).split(".")[0]


def test_without_the_extra_the_package_is_named(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "araclip.gallery.postgres.gallery")
    monkeypatch.setitem(sys.modules, "pg8000", None)
    for name in [name for name in sys.modules if name.startswith(("pg8000.", "araclip.gallery.postgres."))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"pg8000.*pip install 'araclip\[postgres\]'"):
        open_gallery("postgresql://me@host/c", model=str(tiny_model))


@given(st.floats(-1e9, 1e9).map(lambda number: round(number, 5)) | st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_written_as_local_catalogue_compares_them(number: float) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        (text,) = database.execute("SELECT CAST(? AS TEXT)", (number,)).fetchone()
    assert marks_of({"k": number}) == [mark("k", text)]


def test_an_address_without_a_user_is_refused_if_none_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PGUSER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321, raising=False)  # as in a container
    with pytest.raises(InputError, match="names no user"):
        Address.read("postgresql://host/db")
    monkeypatch.setenv("PGUSER", "me")
    address = Address.read("postgresql://host/db")
    assert address.user == "me"


def test_server_that_does_not_answer_is_named_without_password(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAUSE", 0.001)
    with pytest.raises(GalleryUnreachable, match=r"postgresql://me@127\.0\.0\.1:9/db: .*does not answer") as caught:
        open_gallery("postgresql://me:secret@127.0.0.1:9/db", model=str(tiny_model))
    assert "secret" not in str(caught.value)


# ------------------------------------------------------------------ with a server: make test-postgres


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(databases, "PAUSE", 0.02)
    return postgres_server.new_address()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i in range(24):
        pictures.solid(tmp_path / "p" / ("even" if i % 2 == 0 else "odd") / f"{i}.png", (250 - 10 * i, 10 * i, 40))
    return tmp_path / "p"


@pytest.fixture
def gallery(address: str, model: AraCLIP, root: Path) -> Iterator[PostgresGallery]:
    with open_gallery(address, model=model, create=True) as gallery:
        assert isinstance(gallery, PostgresGallery)
        gallery.update([root])
        yield gallery


@needs_server
def test_commit_that_is_cut_off_leaves_nothing_and_frees_lock(
    gallery: PostgresGallery, address: str, root: Path, model: AraCLIP
) -> None:
    database, before = gallery._catalog.database, gallery.stats().generation

    def killed() -> None:
        with gallery._catalog.turn(), gallery._catalog.writing():
            gallery._catalog.remove_files([str(root / "even" / "0.png")])
            ((process,),) = database.rows("SELECT pg_backend_pid()")
            other.rows("SELECT pg_terminate_backend(?)", (process,))
            gallery._catalog.remove_files([str(root / "even" / "2.png")])

    other = Database(Address.read(address))
    with pytest.raises(GalleryUnreachable):
        killed()
    other.close()
    assert (len(gallery), gallery.stats().generation) == (24, before)
    assert gallery.remove([root / "even" / "0.png"]) == 1
    assert len(gallery.search("أحمر", 50)) == 23


@needs_private
def test_after_a_server_crash_searches_go_on_with_all_commits(gallery: PostgresGallery, root: Path) -> None:
    before = [hit.path for hit in gallery.search("أحمر", 50)]
    server = postgres_server.private()
    server.stop(at_once=True)
    with pytest.raises(GalleryUnreachable):
        gallery.remove([root / "even" / "0.png"])
    server.start()
    assert [hit.path for hit in gallery.search("أحمر", 50)] == before
    assert gallery.remove([root / "even"]) == 12


@needs_server
def test_a_statement_that_takes_too_long_is_not_begun_again(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, made = databases._connect_socket, []
    database = Database(Address.read(address))
    database.rows("CREATE SEQUENCE begun")
    database.close()
    monkeypatch.setattr(
        databases, "_connect_socket", lambda place, timeout: made.append(opened(place, 0.5)) or made[-1]
    )
    with pytest.raises(GalleryUnreachable, match="timed out") as held:
        database.rows("SELECT nextval('begun'), pg_sleep(2)")
    assert held.value.__context__ and made[0].fileno() == -1  # closed, although the error's frames hold its stream
    assert database.rows("SELECT last_value FROM begun") == [[1]]
    database.close()


@needs_server
def test_vectors_of_a_re_embedding_that_was_given_up_are_dropped(
    gallery: PostgresGallery, address: str, tmp_path: Path
) -> None:
    def stopped(model: AraCLIP) -> None:
        def stop(done: int, total: int) -> None:
            if done > 16:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reembed_gallery(address, model, progress=stop)

    def tables() -> int:
        sql = "SELECT count(*) FROM pg_tables WHERE schemaname = ? AND tablename LIKE 'vectors%'"
        return int(gallery._catalog.database.rows(sql, (gallery._catalog.database.schema,))[0][0])

    given_up, other = (AraCLIP.load(write_tiny_model(tmp_path / name, seed=n)) for n, name in enumerate("ab", 3))
    stopped(given_up)
    assert tables() == 2
    stopped(other)
    assert tables() == 2
    assert reembed_gallery(address, gallery.model) == 0  # the model is back
    assert tables() == 1
    stopped(given_up)
    assert reembed_gallery(address, other) == 24
    assert tables() == 1


@needs_server
def test_a_writer_waits_for_its_turn_and_not_for_ever(gallery: PostgresGallery, address: str, root: Path) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with gallery._catalog.turn():
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(30)
        with pytest.raises(GalleryLocked, match="another process"), gallery._catalog.turn(0.05):
            pass
    finally:
        done.set()
        holder.join()
    assert gallery.remove([root / "odd"]) == 12


@needs_server
def test_the_graph_finds_what_a_scan_finds_and_never_runs_dry(
    gallery: PostgresGallery, model: AraCLIP, root: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "EXACT_UP_TO", 5)
    gallery.add([pictures.solid(root / "even" / "last.png", (9, 200, 9))])
    assert schema.has_graph(gallery._catalog.database, gallery._catalog.table)
    with PostgresGallery.open(address, model=model, exact=True) as scanned:
        for where in (None, f"folder={root / 'odd'}", f"folder={root / 'even'}"):
            one, other = ([hit.path for hit in each.search("أخضر", 50, where=where)] for each in (gallery, scanned))
            assert one == other
            assert len(one) == (25 if where is None else 12 + where.endswith("even"))


@needs_private
def test_a_dump_restored_elsewhere_is_the_same_gallery(
    gallery: PostgresGallery, model: AraCLIP, address: str, root: Path
) -> None:
    gallery.add([(root / "odd" / "1.png").read_bytes() + b"\0"], metadata={"album": "رحلة"})
    server = postgres_server.private()
    schema = gallery._catalog.database.schema
    dump = server.folder / "dump.sql"
    dump.write_text(server.run("pg_dump", *server.where, f"--schema={schema}", "postgres"), encoding="utf-8")
    server.run("createdb", *server.where, "restored")
    server.run("psql", *server.where, "-q", "-d", "restored", "-c", "CREATE EXTENSION vector; CREATE EXTENSION pg_trgm")
    server.run("psql", *server.where, "-q", "-v", "ON_ERROR_STOP=1", "-d", "restored", "-f", str(dump))
    with open_gallery(address.replace("/postgres?", "/restored?"), model=model) as restored:
        assert restored.search("أخضر", 50) == gallery.search("أخضر", 50)
        assert restored.search("رحلة", 1)[0].matched
        assert restored.verify(contents=True) == []
        assert restored.remove([root / "odd"]) == 12


@needs_private
def test_replica_answers_searches_refuses_writes_and_takes_over(
    gallery: PostgresGallery, address: str, root: Path, model: AraCLIP
) -> None:
    server = postgres_server.private()
    replica = server.replica()
    there = address.replace(str(server.folder), str(replica.folder)).replace(f":{server.port}", f":{replica.port}")
    try:
        with open_gallery(there, model=model) as reader:
            assert reader.search("أحمر", 50) == gallery.search("أحمر", 50)
            gallery.remove([root / "odd"])
            ends = time.monotonic() + 30
            while reader.stats() != replace(gallery.stats(), folder=there):
                assert time.monotonic() < ends, "the replica does not follow"
                time.sleep(0.01)
            assert reader.verify(contents=True) == []
            for change in (lambda: reader.remove([root / "even"]), lambda: reader.update([root]), reader.compact):
                with pytest.raises(OSError, match=r"it is a replica.*Name the address of the primary"):
                    change()
            replica.leave()
            gallery.remove([root / "even" / "0.png"])  # lost with the primary
            replica.take_over()
            assert (reader.remove([root / "even" / "2.png"]), len(reader)) == (1, 11)
            assert reader.stats().generation != gallery.stats().generation
    finally:
        replica.remove()


@needs_private
def test_refusals_say_what_to_do(
    gallery: PostgresGallery, model: AraCLIP, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, database = postgres_server.private(), gallery._catalog.database
    by_network = f"postgresql://araclip@127.0.0.1:{server.port}/postgres?schema={database.schema}"
    with pytest.raises(GalleryError, match=r"refuses the login.*PGPASSWORD"):
        open_gallery(by_network.replace("araclip@", "araclip:wrong@"), model=model)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with open_gallery(by_network, model=model) as opened:
        assert len(opened) == 24
    for name, sql in (("newer", "UPDATE gallery SET layout = 99"), ("others", "ALTER TABLE gallery RENAME TO things")):
        database.rows(sql)
        with pytest.raises(NewerGallery if name == "newer" else GalleryCorrupt):
            open_gallery(address, model=model, create=True)
    database.rows("CREATE ROLE poor LOGIN")
    database.rows("CREATE DATABASE poor OWNER poor")
    with pytest.raises(GalleryError, match=r"needs the extension vector.*superuser run CREATE EXTENSION vector"):
        open_gallery(f"postgresql://poor@:{server.port}/poor?host={server.folder}", model=model, create=True)


@needs_private
def test_a_shared_database_with_an_administrator_takes_a_gallery(address: str, model: AraCLIP, root: Path) -> None:
    server, admin = postgres_server.private(), Database(Address.read(address))

    def at(schema: str, user: str = "araclip") -> str:
        return f"postgresql://{user}@:{server.port}/shared?host={server.folder}&schema={schema}"

    admin.rows("CREATE DATABASE shared")
    for setting in (
        "search_path = extensions", "bytea_output = escape", "client_encoding = LATIN1", "statement_timeout = '1s'",
    ):  # fmt: skip
        admin.rows(f"ALTER DATABASE shared SET {setting}")
    admin.rows("CREATE ROLE guest LOGIN")
    shared = Database(Address.read(at("public")))
    for statement in (
        "CREATE SCHEMA extensions", "GRANT USAGE ON SCHEMA extensions TO guest", "CREATE SCHEMA things",
        "CREATE EXTENSION vector SCHEMA extensions", "CREATE EXTENSION pg_trgm SCHEMA extensions",
        "CREATE SCHEMA guests AUTHORIZATION guest", "CREATE TABLE things.thing (number int)",
    ):  # fmt: skip
        shared.rows(statement)
    for place in (at("public"), at("guests", "guest")):
        with open_gallery(place, model=model, create=True) as gallery:
            assert isinstance(gallery, PostgresGallery)
            assert (gallery.update([root]).added, gallery.hide([root / "odd"])) == (24, 12)
            assert len(gallery.search("أحمر", 50)) == 12
            with gallery._catalog.turn():  # as long as building a graph
                gallery._catalog.database.rows("SELECT pg_sleep(1.2)")
    with pytest.raises(GalleryNotFound):  # and not the gallery in `public`
        open_gallery(at("mistyped"), model=model)
    for create in (False, True):
        with pytest.raises(GalleryCorrupt, match="other tables than a gallery's"):
            open_gallery(at("things"), model=model, create=create)
    shared.rows("REVOKE ALL ON SCHEMA guests FROM guest")
    with pytest.raises(GalleryError, match="permission denied for schema guests"):
        open_gallery(at("guests", "guest"), model=model)
    admin.rows("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(GalleryError, match=r"the encoding SQL_ASCII, a gallery needs UTF8\. Create another"):
        open_gallery(at("public").replace("/shared?", "/bytes?"), model=model, create=True)
    for database in (admin, shared):
        database.close()


@needs_server
def test_parts_of_words_are_found_as_in_a_folder(
    gallery: PostgresGallery, root: Path, tmp_path: Path, model: AraCLIP
) -> None:
    pictures.solid(root / "odd" / "مكتبتنا.png", (1, 2, 3))
    with open_gallery(tmp_path / "g", model=model, create=True) as folder:
        for each in (gallery, folder):
            each.update([root])
        for query in ("كتبت", "مكتبتنا"):
            one, other = (
                [(hit.path, hit.matched) for hit in each.search(query, 50, literal=True) if hit.matched]
                for each in (gallery, folder)
            )
            assert one == other != []


@needs_server
def test_a_date_alone_is_newest_first_in_postgres_too(
    gallery: PostgresGallery, root: Path, tmp_path: Path, model: AraCLIP
) -> None:
    for month in (3, 11, 7):
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"2021:{month:02}:01 10:00:00"
        Image.new("RGB", (40, 30), (20 * month, 9, 9)).save(root / "odd" / f"2021-{month}.jpg", exif=exif)
    with open_gallery(tmp_path / "g", model=model, create=True) as folder:
        for each in (gallery, folder):
            each.update([root])
        one, other = (
            [(Path(hit.path).name, hit.score) for hit in each.search("صور 2021")] for each in (gallery, folder)
        )
    assert one == other == [("2021-11.jpg", 0.0), ("2021-7.jpg", 0.0), ("2021-3.jpg", 0.0)]


# ------------------------------------------------------------------ another model, damage


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> AraCLIP:
    return AraCLIP.load(write_tiny_model(tmp_path_factory.mktemp("other") / "m", width=12, seed=1, name="other"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "صور"
    for i, colour in enumerate((pictures.RED, pictures.GREEN, pictures.BLUE)):
        pictures.solid(root / f"{i}.png", colour)
    return root


def found(gallery: BaseGallery) -> list[str]:
    return sorted(Path(hit.path).name for hit in gallery.search("صورة", 100))


@needs_server
def test_reembed_switches_all_vectors_at_once(address: str, model: AraCLIP, other: AraCLIP, folder: Path) -> None:
    with open_gallery(address, model=model, create=True) as old:
        old.update([folder])
        old.add([folder / "0.png"], metadata={"album": "رحلة"})
        (kept,) = old.add([(folder / "2.png").read_bytes()]).paths
        during: list[int] = []
        made = reembed_gallery(address, other, progress=lambda done, total: during.append(len(old.search("أحمر", 9))))
        assert (made, set(during)) == (3, {3})
        with pytest.raises(WidthMismatch, match="12-wide vectors of other"):
            old.search("أحمر")
    with open_gallery(address, model=other) as new:
        assert Path(new.search("أحمر", 1)[0].path).name == "0.png"
        assert new.metadata(str(folder / "0.png")) == {"album": "رحلة"}
        assert kept is not None
        assert new.picture(kept)[:2] == b"\xff\xd8"
        assert new.verify(contents=True) == []
        assert new.update([folder]).added == 0
    assert reembed_gallery(address, other) == 0


@needs_server
def test_reembed_goes_on_and_waits_for_unreadable_pictures(
    address: str, model: AraCLIP, other: AraCLIP, folder: Path
) -> None:
    with open_gallery(address, model=model, create=True) as old:
        old.update([folder])
        hidden = (folder / "1.png").rename(folder.parent / "1.png")
        lines: list[str] = []
        with pytest.raises(GalleryError, match=r"1 picture of postgresql://.*--forget-missing"):
            reembed_gallery(address, other, skip=lines.append)
        assert [Path(line.split(": cannot")[0]).name for line in lines] == ["1.png"]
        assert found(old) == ["0.png", "1.png", "2.png"]
        hidden.rename(folder / "1.png")
        assert reembed_gallery(address, other) == 1
    with open_gallery(address, model=other) as new:
        assert found(new) == ["0.png", "1.png", "2.png"]
        (folder / "1.png").unlink()
    assert reembed_gallery(address, model, forget_missing=True) == 2
    with open_gallery(address, model=model) as again:
        assert found(again) == ["0.png", "2.png"]


@needs_server
def test_a_damaged_vector_in_postgres_is_encoded_again(address: str, model: AraCLIP, folder: Path) -> None:
    with open_gallery(address, model=model, create=True) as gallery:
        assert isinstance(gallery, PostgresGallery)
        gallery.update([folder])
        own = gallery._catalog
        content = own.content_of(str(folder / "0.png"))
        own.database.rows(
            f"UPDATE {own.table} SET vector = ? WHERE content = ?", (pg_vector(np.array([0.5] + [0] * 7)), content)
        )
        (fault,) = gallery.verify()
        assert (Path(fault.where).name, fault.repairable) == ("0.png", True)
        assert gallery.repair() == [f"{folder / '0.png'}: encoded again."]
        assert gallery.verify() == []
        score = gallery.search("أحمر", 1)[0].score
        assert score == pytest.approx(
            float(np.dot(*model.encode_image([folder / "0.png"]), model.encode_text(["أحمر"])[0])), abs=2e-3
        )


# ------------------------------------------------------------------ filters, over all inputs


FOLDERS = ("/a", "/a/b", "/a/b2", "/ب", "/")
dates = st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda d: d.isoformat()[:19])
near_dates = st.sampled_from(
    ["2022-12-31T23:59:59", "2023-01-01T00:00:00", "2023-05-17T18:30:00", "2024-02-29T12:00:00"]
)
values = st.one_of(
    st.sampled_from(["x", "true", "5", "1.5", ""]), st.booleans(), st.integers(-9, 9), st.sampled_from([1.5, 5.0])
)
metadata = st.dictionaries(
    st.sampled_from(["k", "a.b", "files[]", "ن"]), values | st.lists(values, max_size=2), max_size=2
)
held = st.builds(
    lambda folder, name, size, about: FileEntry(File(f"{folder.rstrip('/')}/{name}.png", size, 7), about),
    st.sampled_from(FOLDERS), st.sampled_from("xyz"), st.integers(0, 4), metadata,
)  # fmt: skip
facts = st.builds(Facts, st.sampled_from(FORMATS), st.integers(1, 3), st.integers(1, 3), st.none() | near_dates)
rows = st.builds(
    lambda id_, added, facts, phash, files: Row(id_, id_.to_bytes(32, "big"), added, facts, phash, tuple(
        replace(each, file=replace(each.file, path=f"{each.file.path[:-4]}{id_}.png")) for each in files
    )),
    st.integers(1, 1 << 40), near_dates, facts, st.integers(0, 2**64 - 1),
    st.lists(held, min_size=1, max_size=3, unique_by=lambda each: each.file.path),
)  # fmt: skip
ends = st.none() | st.sampled_from(["2022", "2023", "2023-01", "2023-05-17", "2023-05-17T18:30", "2024-02-29T12:00:00"])


@st.composite
def any_filters(draw: st.DrawFn) -> Filters:
    fields = {name: draw(ends) for name in ("captured_from", "captured_to", "added_from", "added_to")}
    try:
        return Filters(
            folder=draw(st.none() | st.sampled_from(FOLDERS)),
            min_size=draw(st.none() | st.integers(0, 4)),
            max_size=draw(st.none() | st.integers(0, 4)),
            formats=tuple(draw(st.sets(st.sampled_from(FORMATS), max_size=2))),
            orientation=draw(st.none() | st.sampled_from(["landscape", "portrait", "square"])),
            metadata=draw(
                st.dictionaries(
                    st.sampled_from(["k", "a.b", "ن"]), st.sampled_from(["x", "true", "5", "1.5", "5.0"]), max_size=1
                )
            ),
            **fields,
        )
    except InputError:  # ends that have changed places
        return Filters()


def instant(date: str, missing: str = "0") -> int:
    """A date or a prefix of one as a number of 14 digits; `missing` pads the rest."""
    return int("".join(letter for letter in date if letter.isdigit()).ljust(14, missing))


def within(date: str | None, first: str | None, last: str | None) -> bool:
    if date is None:
        return first is None and last is None
    return (first is None or instant(date) >= instant(first)) and (last is None or instant(date) <= instant(last, "9"))


def shape(facts: Facts) -> str:
    return "square" if facts.width == facts.height else "landscape" if facts.width > facts.height else "portrait"


def picture_passes(filters: Filters, row: Row) -> bool:
    assert row.facts
    return (
        within(row.photo.captured_at, filters.captured_from, filters.captured_to)
        and within(row.added, filters.added_from, filters.added_to)
        and (not filters.formats or row.facts.format in filters.formats)
        and (not filters.orientation or shape(row.facts) == filters.orientation)
    )


@needs_server
@given(
    st.lists(rows, min_size=5, max_size=30, unique_by=lambda row: row.id),
    st.lists(any_filters(), min_size=10, max_size=40),
)
@settings(max_examples=6)
def test_the_server_lets_pass_what_the_filters_say(tiny_model: Path, made: list[Row], asked: list[Filters]) -> None:
    model = AraCLIP.load(tiny_model, threads=1)
    with open_gallery(postgres_server.new_address(), model=model, create=True) as gallery:
        assert isinstance(gallery, PostgresGallery)
        catalog, vector = gallery._catalog, np.eye(1, model.width, dtype=np.float32)[0]
        with catalog.turn(), catalog.writing():
            for row in made:
                content = catalog.add_content(row.digest, vector)
                assert row.facts
                catalog.put_facts(content, row.facts, row.phash)
                for entry in row.files:
                    catalog.put_file(entry.file, content, entry.metadata)
                catalog.database.rows("UPDATE contents SET added = ? WHERE id = ?", (row.added, content))
        by_id = {catalog.content(row.digest): row for row in made}
        ids = np.array(sorted(by_id), np.int64)
        for filters in asked:
            asking = search.PostgresSearch(catalog, True, lambda: len(made), vector, Page(1, 0, filters))
            passing, _ = asking.scores(ids)
            wanted = {
                content
                for content, row in by_id.items()
                if picture_passes(filters, row) and any_file_passes(row, filters)
            }
            assert set(passing) == wanted, filters
