"""One deployment for a test process; the tests leave it as they found it."""

from collections.abc import Iterator

import pytest

from tests.proxy.topology import CADDIES, Deployed, deployed


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Proxy, three servers, PostgreSQL and Redis."""
    with deployed(tmp_path_factory.mktemp("deployed")) as running:
        yield running


@pytest.fixture(params=CADDIES)
def house(deployment: Deployed, request: pytest.FixtureRequest) -> Deployed:
    """The deployment behind each of the proxies."""
    return deployment.behind(request.param)
