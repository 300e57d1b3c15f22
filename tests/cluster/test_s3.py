"""Bulk embedding from a bucket into a bucket, through s3fs and a real HTTP server of the S3 protocol (moto)."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

import pictures
from araclip.bulk.embed import embed
from araclip.bulk.ingest import shards_in
from araclip.errors import ShardMismatch, SourceError


@pytest.fixture(scope="module")  # s3fs keeps its connection to a first server, moto its objects: one for all tests here
def store() -> Iterator["boto3.session.Session.client"]:
    """A client of a store; each test makes a bucket of its own."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        yield boto3.client("s3")
    server.stop()


@pytest.mark.filterwarnings("default")  # botocore's own
def test_a_bucket_is_embedded_into_a_bucket_once_and_a_changed_object_is_noticed(
    store: "boto3.session.Session.client", tmp_path: Path, tiny_model: Path
) -> None:
    store.create_bucket(Bucket="photos")
    for number, colour in enumerate((pictures.RED, pictures.GREEN, pictures.BLUE)):
        data = pictures.solid(tmp_path / f"{number}.png", colour).read_bytes()
        store.put_object(Bucket="photos", Key=f"2024/{number}.png", Body=data)
    source, out = "s3://photos/2024", "s3://photos/shards"
    assert embed(source, out, model=tiny_model, shards=2).pictures == 3
    assert all(each.skipped for each in embed(source, out, model=tiny_model).shards)
    assert shards_in(out).pictures == 3
    store.put_object(Bucket="photos", Key="2024/0.png", Body=data)  # of the same size, of another content
    with pytest.raises(ShardMismatch, match="another source, or files came, went or changed"):
        embed(source, out, model=tiny_model)
    with pytest.raises(SourceError, match=r"s3://nowhere/x cannot be read"):
        embed("s3://nowhere/x", tmp_path / "out", model=tiny_model)


@pytest.mark.filterwarnings("default")  # as above
def test_an_object_without_bytes_is_no_picture_and_the_others_are_embedded(
    store: "boto3.session.Session.client", tmp_path: Path, tiny_model: Path
) -> None:
    store.create_bucket(Bucket="broken")
    data = pictures.solid(tmp_path / "0.png", pictures.RED).read_bytes()
    store.put_object(Bucket="broken", Key="0.png", Body=data)
    store.put_object(Bucket="broken", Key="empty.png", Body=b"")
    report = embed("s3://broken", tmp_path / "out", model=tiny_model)
    assert (report.pictures, report.refused) == (1, 1)
