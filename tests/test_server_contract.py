"""Whatever OpenAPI allows, and much that it does not, the server never makes a mistake (status 5xx)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from starlette.testclient import TestClient

from serving import make_gallery, photo_album, serving, settings_for

EXAMPLES = 12  # an address: enough to meet every parameter with good and bad values


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("contract")
    gallery = make_gallery(folder / "gallery", photo_album(folder / "album"), tiny_model)
    with serving(settings_for(gallery, tiny_model, uploads=True, events_seconds=0.05)) as client:
        yield client


def operations(client: TestClient) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(path, method) for path, methods in paths.items() for method in methods]


def test_every_request_that_the_description_allows_or_nearly_allows_is_answered_without_a_mistake(
    client: TestClient,
) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    seen: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        label, statuses = operation.label, seen.setdefault(operation.label, set())

        def attempt(case, statuses=statuses, label=label):  # type: ignore[no-untyped-def]
            answer = case.call(session=client, base_url=str(client.base_url))
            statuses.add(answer.status_code)
            assert answer.status_code < 500, f"{label}: {answer.status_code} {answer.text[:500]}"

        for modes in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            strategy = operation.as_strategy(generation_mode=modes)
            _run(attempt, strategy)
    assert set(seen) == {f"{method.upper()} {path}" for path, method in operations(client)}
    assert 200 in seen["GET /search"]


def _run(attempt, strategy) -> None:  # type: ignore[no-untyped-def]
    from hypothesis import given

    given(case=strategy)(
        settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(lambda case: attempt(case))
    )()
