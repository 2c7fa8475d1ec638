"""The portal over real rooms: for Flask's test client, and on a loopback port for browsers and slow readers."""

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from flask import Flask, Response, request
from flask.testing import FlaskClient
from reportlab.pdfgen.canvas import Canvas
from stack import Stack
from werkzeug.test import TestResponse

from appliance.deeds.delivery import Delivery
from appliance.deeds.opening import Opening
from appliance.deeds.reports import Reports
from appliance.deeds.sharing import Secrets
from appliance.dicom.cage import Cage
from appliance.language import translations
from appliance.portal import THREADS, PortalParts, create_app
from appliance.portal.guard import BODY_LIMIT
from appliance.registry import Registry
from appliance.registry.settings import Practice
from appliance.webserver import WebServer

PRACTICE = Practice(
    name="Radiologie am Markt",
    street="Marktplatz 7",
    city="12345 Musterstadt",
    phone="030 1234567",
    email="praxis@radiologie-am-markt.example",
    imprint="Dr. med. Erika Muster, Fachärztin für Radiologie\nAufsicht: Ärztekammer Musterland",
)
ORIGIN = "https://bilder.example"


class House:
    """A stack, and the portal that shows it. `answered`: the paths of all requests so far."""

    def __init__(self, stack: Stack, cage: Cage) -> None:
        self.stack = stack
        stack.settings.set_practice(PRACTICE)
        self.answered: list[str] = []
        self.public_url = ORIGIN
        self._cage = cage

    @cached_property
    def opening(self) -> Opening:
        registry = Registry(self.stack.places.registry / "registry.sqlite3", read_only=True)
        return Opening(registry, self.stack.keyholder("portal"), self.stack.now)

    @cached_property
    def app(self) -> Flask:
        registry = Registry(self.stack.places.registry / "registry.sqlite3", read_only=True)
        delivery = Delivery(registry, self.stack.objects)
        stack = self.stack
        app = create_app(PortalParts(self.opening, delivery, stack.settings, stack.now, self.public_url, "de", "Europe/Berlin"))

        @app.after_request
        def heard(answer: Response) -> Response:
            self.answered.append(request.path)
            return answer

        return app

    @cached_property
    def reports(self) -> Reports:
        stack = self.stack
        return Reports(stack.registry, stack.objects, stack.keyholder("desk"), self._cage, stack.manifests, stack.now, 64 << 20)

    def add_report(self, study_id: str, title: str = "Befund CT Thorax", pages: int = 2) -> str:
        return self.reports.add("alice's desk", study_id, title, pdf(title, pages))

    def reader(self, address: str = "198.51.100.7") -> "Reader":
        return Reader(self.app, address)

    def enter(self, secrets: Secrets, address: str = "198.51.100.7") -> "Reader":
        """A new browser, in which that letter is open."""
        return self.reader(address).enter(secrets.code, secrets.password)


class Reader:
    """One browser, as far as cookies and headers go."""

    def __init__(self, app: Flask, address: str) -> None:
        self.client: FlaskClient = app.test_client()
        self.client.environ_base["REMOTE_ADDR"] = address

    def get(self, path: str, **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, base_url=ORIGIN, headers={"Accept-Language": "de", **given}, buffered=True)

    def post(self, path: str, form: dict[str, str] | None = None, *, site: str | None = "same-origin", **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()} | ({} if site is None else {"Sec-Fetch-Site": site})
        return self.client.post(path, base_url=ORIGIN, data=form or {}, headers={"Accept-Language": "de", **given}, buffered=True)

    def head(self, path: str) -> TestResponse:
        return self.client.head(path, base_url=ORIGIN, headers={"Accept-Language": "de"}, buffered=True)

    def try_password(self, code: str, password: str) -> TestResponse:
        return self.post(f"/s/{code}", {"password": password})

    def enter(self, code: str, password: str) -> "Reader":
        answer = self.try_password(code, password)
        assert answer.status_code == 303, answer.status_code
        assert answer.location == "/worklist"
        return self

    @property
    def token(self) -> str:
        """What the forms of this reader's pages carry."""
        _, _, rest = self.get("/help").text.partition('data-token="')
        return rest.partition('"')[0]

    def end(self) -> TestResponse:
        return self.post("/logout")

    def check_in(self, page: str, *, active: bool = False) -> TestResponse:
        return self.post("/here", {"token": self._token, "page": page, "active": "1" if active else "0"})

    def leave(self, page: str) -> TestResponse:
        return self.post("/gone", {"token": self._token, "page": page})

    @cached_property
    def _token(self) -> str:
        return self.token

    def cookie(self, name: str) -> str | None:
        found = self.client.get_cookie(name, domain="bilder.example")
        return found.value if found else None


@dataclass
class Visit:
    """A reader, and the addresses of Alice's things."""

    reader: Reader
    places: dict[str, str]
    token: str = ""
    share_id: str = ""


class Rooms:
    """A house for tests that change nothing in it: Alice's study with a report, and Charlie's study."""

    def __init__(self, stack: Stack, cage: Cage) -> None:
        self.stack = stack
        self.house = House(stack, cage)
        about = {"StudyDescription": "MR Schulter", "PatientID": "PID-0815", "InstitutionName": "Uniklinik"}
        self.alices = stack.put_study("Brown^Alice", series=(("MR", "Weichteil axial", 2),), **about)
        self.charlies = stack.put_study("Fremd^Charlie", PatientBirthDate="19700101")
        (series,) = stack.registry.series(self.alices)
        report = self.house.add_report(self.alices, "Befund Schulter", pages=1)
        self.places = {"study": self.alices, "series": series.series_id, "report": report, "ticket": f"/d/{'0' * 64}/images.zip"}

    def visit(self, study: str, **given: int) -> Visit:
        record, letter = self.stack.share(study, **given)
        reader = self.house.enter(letter)
        return Visit(reader, self.places, reader.token, record.share_id)

    def alice(self, **given: int) -> Visit:
        visit = self.visit(self.alices, **given)
        return Visit(visit.reader, self.places | {"ticket": visit.reader.get("/download").location}, visit.token, visit.share_id)


def de(text: str, **values: str) -> str:
    """What German readers read instead."""
    translated = translations("de").gettext(text)
    assert translated != text, f"not translated: {text}"
    return translated % values


def pdf(title: str, pages: int) -> bytes:
    """A report as a practice prints it."""
    sink = io.BytesIO()
    canvas = Canvas(sink, pagesize=(595, 842))
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica", 11)
        canvas.drawString(60, 780, "Radiologie am Markt · Marktplatz 7 · 12345 Musterstadt")
        canvas.setFont("Helvetica-Bold", 18)
        canvas.drawString(60, 720, title)
        canvas.setFont("Helvetica", 12)
        for line in range(18 if number == 1 else 6):
            canvas.drawString(60, 680 - 20 * line, "Kein Nachweis einer Raumforderung. Altersentsprechender Befund beidseits.")
        canvas.drawString(500, 40, f"Seite {number}")
        canvas.showPage()
    canvas.save()
    return sink.getvalue()


@contextmanager
def serving(house: House) -> Iterator[str]:
    """The portal behind its real web server; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    house.public_url = f"http://127.0.0.1:{port}"
    server = WebServer(house.app, host="127.0.0.1", port=port, threads=THREADS, body_limit=lambda _: BODY_LIMIT)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    try:
        yield house.public_url
    finally:
        stop.set()
        thread.join()
