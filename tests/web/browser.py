"""Base class of the browser tests: headless Chromium, and webhooks posted to the service."""

import json
import os
import re
import shutil
import unittest
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ADDRESS, TOKEN, KEY = (os.environ[name] for name in ("ADDRESS", "TOKEN", "KEY"))
FIXTURES = Path(__file__).parent.parent / "fixtures"


def post(fixture, **fields):
    """Posts a fixture with some fields replaced."""
    body = json.loads(next(FIXTURES.glob(f"{fixture}-*")).read_text()) | fields
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{ADDRESS}/webhooks/qontak/{TOKEN}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        assert json.load(response)["data"]["outcome"] == "applied"


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        # The sandbox does not work for root in a container.
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1280,900", "lang=en"):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        cls.browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        cls.addClassCleanup(cls.browser.quit)

    def assert_no_errors(self, allowed):
        """Asserts that the browser log has no errors but those that match."""
        problems = [line["message"] for line in self.browser.get_log("browser") if line["level"] == "SEVERE"]
        self.assertEqual([], [problem for problem in problems if not re.search(allowed, problem)])

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """Texts of all matching elements, read in one script, so that the page cannot change meanwhile."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
        return self.browser.execute_script(script, selector)

    def wait(self, selector, text=""):
        """Waits for a matching element with that text; returns the texts of all matching elements."""
        def found(_):
            texts = self.texts(selector)
            return texts if any(text in one for one in texts) else None
        return WebDriverWait(self.browser, 20).until(found, f"no {text!r} in {selector}")
