"""Debian's Chromium, driven by Playwright, and what is watched while pages are looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from programs import which

ARGUMENTS = [
    "--no-sandbox",  # it starts as root in continuous integration
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser that speaks to nobody but the pages under test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A context of which every word to the console, every failure and every request is kept. `origin`: whose pages these are."""

    def __init__(self, browser: Browser, origin: str, **options: Any) -> None:
        self.origin = origin
        self.said: list[str] = []
        self.asked: list[str] = []
        self.context: BrowserContext = browser.new_context(locale="de-DE", base_url=origin, **options)
        self.context.on("console", lambda message: self.said.append(message.text))
        self.context.on("weberror", lambda error: self.said.append(str(error.error)))
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page: Page = self.context.new_page()

    def close(self, *expected: str) -> None:
        """Close all windows. AssertionError if one said anything but what is expected, in part of its words, or asked somebody else."""
        self.context.close()
        complaints = [text for text in self.said if not any(words in text for words in expected)]
        elsewhere = [url for url in self.asked if not url.startswith(self.origin)]
        assert not complaints, complaints
        assert not elsewhere, elsewhere
