"""A person at a browser, for the tests of the desk."""

import re
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PASSWORD = "correct horse battery"
LIMIT = 2 << 20  # bytes of a report


@dataclass
class Browser:
    """Fills in forms like a person: only fields that the page has, with the token that it brought."""

    client: FlaskClient
    headers: dict[str, str] = field(default_factory=lambda: {"Accept-Language": "en", "Sec-Fetch-Site": "same-origin"})
    token: str = ""

    def get(self, path: str, **more: Any) -> TestResponse:
        return self._seen(self.client.get(path, headers=self.headers, **more))

    def post(self, path: str, follow: bool = False, **fields: Any) -> TestResponse:
        response = self.client.post(path, data={"form": self.token, **fields}, headers=self.headers)
        return self.get(response.location) if follow and response.status_code == 303 else self._seen(response)

    def _seen(self, response: TestResponse) -> TestResponse:
        found = re.search(r'name="form" value="([0-9a-f]{64})"', response.text) if response.mimetype == "text/html" else None
        self.token = found.group(1) if found else self.token
        return response

    def log_in(self, login: str = "alma", password: str = PASSWORD) -> TestResponse:
        self.get("/login")
        return self.post("/login", login=login, password=password, follow=True)
