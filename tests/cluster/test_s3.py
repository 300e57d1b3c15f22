"""Bulk embedding from a bucket into a bucket, through pyarrow and a real HTTP server of the S3 protocol (moto)."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import ray
from moto.server import ThreadedMotoServer

import pictures
from araclip import AraCLIP, Gallery
from araclip.bulk.embed import embed
from araclip.bulk.ingest import fill
from araclip.errors import InputError


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator["boto3.session.Session.client"]:
    """A client of a store, whose address the processes of Ray get from the environment."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield boto3.client("s3")
    ray.shutdown()
    server.stop()


@pytest.mark.filterwarnings("default")  # botocore's and Ray's own
def test_a_bucket_is_embedded_into_a_bucket_and_goes_on(
    store: "boto3.session.Session.client", tmp_path: Path, tiny_model: Path, model: AraCLIP
) -> None:
    store.create_bucket(Bucket="photos")
    for number, colour in enumerate((pictures.RED, pictures.GREEN, pictures.BLUE)):
        data = pictures.solid(tmp_path / f"{number}.png", colour).read_bytes()
        store.put_object(Bucket="photos", Key=f"2024/{number}.png", Body=data)
    store.put_object(Bucket="photos", Key="2024/empty.png", Body=b"")
    source, out = "s3://photos/2024", "s3://photos/shards"
    report = embed(source, out, model=tiny_model, jobs=1)
    assert (report.pictures, report.refused) == (3, 1)
    assert embed(source, out, model=tiny_model, jobs=1).new == 0
    store.put_object(Bucket="photos", Key="2024/more.png", Body=pictures.solid(tmp_path / "x.png").read_bytes())
    assert embed(source, out, model=tiny_model, jobs=1).new == 1
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        assert fill(gallery, out).read == 4
    for wrong in ("s3://photos/none", "s3://nowhere/x"):
        with pytest.raises(InputError, match=f"{wrong} holds no picture"):
            embed(wrong, tmp_path / "out", model=tiny_model)
