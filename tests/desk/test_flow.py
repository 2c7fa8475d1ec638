"""A receptionist's day: find the study, make the letter, hand it over, change one's mind."""

import re

from stack import Stack
from visitor import Browser


def test_letter_in_hand(stack: Stack, alma: Browser) -> None:
    study_id = stack.put_study("Müller^Alice")
    stack.put_study("Fremd^Charlie", series=(("US", "Leber", 1),))
    page = alma.get("/")
    assert page.status_code == 200
    assert "Müller, Alice" in page.text
    assert "Fremd, Charlie" in page.text
    page = alma.post("/search", words="mueller", follow=True)
    assert page.request.path == f"/studies/{study_id}"
    page = alma.post(
        f"/studies/{study_id}/shares", audience="patient", days="90", release="now", language="de", download="yes", follow=True
    )
    assert page.status_code == 200
    assert re.search(r"\d{3} \d{3} \d{3} \d{3} \d{3} \d{3}", page.text)
