"""A desk over real rooms, and a member of staff at its browser."""

from collections.abc import Iterator

import pytest
from flask import Flask
from stack import Stack
from visitor import LIMIT, PASSWORD, Browser

from appliance.deeds.reports import Reports
from appliance.desk import DeskParts, create_app
from appliance.dicom.cage import Cage


@pytest.fixture(scope="session")
def cage() -> Iterator[Cage]:
    with Cage(workers=1) as made:
        yield made


@pytest.fixture
def parts(stack: Stack, cage: Cage) -> DeskParts:
    reports = Reports(stack.registry, stack.objects, stack.keyholder("desk"), cage, stack.manifests, stack.now, LIMIT)
    return DeskParts(
        worklist=stack.worklist,
        inspecting=stack.inspecting,
        sharing=stack.sharing,
        reports=reports,
        staff=stack.staff,
        settings=stack.settings,
        now=stack.now,
        desk_url="http://127.0.0.1:8081",
        public_url="https://bilder.praxis-muster.de",
        language="de",
        timezone="Europe/Berlin",
        mirrored=False,
        wide_open=True,
        commits=False,
        rehearse_days=0,
    )


@pytest.fixture
def app(parts: DeskParts) -> Flask:
    app = create_app(parts)
    app.testing = False  # errors become pages, as they do for people
    return app


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app.test_client())


@pytest.fixture
def other(app: Flask) -> Browser:
    """A second browser."""
    return Browser(app.test_client())


@pytest.fixture
def alma(stack: Stack, browser: Browser) -> Browser:
    """Alma, an admin, is logged in."""
    stack.staff.add("operator", login="alma", name="Alma Anker", password=PASSWORD, role="admin")
    browser.log_in()
    return browser


@pytest.fixture
def bert(stack: Stack, other: Browser) -> Browser:
    """Bert, of the front desk, is logged in."""
    stack.staff.add("operator", login="bert", name="Bert Bucht", password=PASSWORD, role="front-desk")
    other.log_in("bert")
    return other
