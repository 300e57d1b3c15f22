"""Requests generated from OpenAPI, valid and invalid: no internal error, and responses match the description."""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import schemathesis
import typer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from araclip import Gallery
from araclip.cli.commands import app
from araclip.client import Client
from araclip.server.schemas import SearchOptions
from postgres_server import needs_server
from serving import listening, make_gallery, photo_album, place_of, settings_for

EXAMPLES = 6  # of good and as many of bad requests for each address
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module", params=["folder", pytest.param("postgres", marks=needs_server)])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("contract")
    with place_of(request.param, folder) as place:
        make_gallery(place, photo_album(folder / "album"), tiny_model)
        uploads = request.param == "folder"  # a gallery on a server is only read
        with listening(settings_for(place, tiny_model, uploads=uploads, events_seconds=0.05)) as address:
            yield address


def attempts(cases: SearchStrategy[schemathesis.Case], statuses: set[int]) -> None:
    """Ask and check the answers; `statuses` learns what they were."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def attempt(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    with suppress(Unsatisfiable):  # an address without parameters has none that could be wrong
        attempt()


def test_every_route_fulfils_its_openapi_description(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        statuses = seen.setdefault(operation.label, set())
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            attempts(operation.as_strategy(generation_mode=mode), statuses)
    assert len(seen) >= 15
    assert all(statuses for statuses in seen.values())
    assert 200 in seen["GET /search"]
    assert 422 in seen["POST /search"]


def test_every_way_to_search_has_the_same_options() -> None:
    command = typer.main.get_command(app).commands["search"]  # type: ignore[attr-defined]
    shell = {each.name for each in command.params}
    over_http = set(SearchOptions.model_fields)
    python, client = (set(inspect.signature(each).parameters) for each in (Gallery.search, Client.search))
    python, client = python - {"self", "query"}, client - {"self", "query"}
    assert python - {"files"} == client - {"like", "pictures"} == over_http
    assert over_http - shell == {"ignore"}
