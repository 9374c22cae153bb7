"""Tests the page /docs in Chromium: listed routes, and a request with a key."""

import json
import urllib.request

from selenium.webdriver.support.ui import WebDriverWait

from tests.web.browser import ADDRESS, KEY, Browser

ROOT = "document.querySelector('rapi-doc').shadowRoot"


class Docs(Browser):
    def setUp(self):
        self.browser.get(f"{ADDRESS}/docs")
        self.until(f"{ROOT}?.querySelectorAll('.nav-bar-path').length > 20")

    def tearDown(self):
        self.assert_no_errors(allowed=" 401 | 422 ")

    def until(self, script):
        return WebDriverWait(self.browser, 30).until(lambda _: self.browser.execute_script(f"return {script}"), script)

    def test_every_route_of_the_document_is_listed(self):
        with urllib.request.urlopen(f"{ADDRESS}/openapi.json") as response:
            paths = json.load(response)["paths"]
        routes = [f"{method}-{path}" for path, item in paths.items() for method in item]
        script = f"return [...{ROOT}.querySelectorAll('.nav-bar-path')].map((one) => one.dataset.contentId)"
        listed = self.browser.execute_script(script)
        self.assertEqual(len(routes), len(listed), listed)

    def test_request_is_sent_with_the_key(self):
        self.browser.execute_script("document.querySelector('rapi-doc').setApiKey('key', arguments[0])", KEY)
        self.browser.execute_script(f"{ROOT}.querySelector('.nav-bar-path[data-content-id*=\"v1/me\"]').click()")
        self.until(f"{ROOT}.querySelector('api-request')?.shadowRoot?.querySelector('.btn-execute, .m-btn.primary')")
        click = f"{ROOT}.querySelector('api-request').shadowRoot.querySelector('.m-btn.primary').click()"
        self.browser.execute_script(click)
        text = f"{ROOT}.querySelector('api-request').shadowRoot.textContent"
        self.until(f"{text}.includes('\"success\"')")

    def test_nothing_is_loaded_from_other_hosts(self):
        script = "return performance.getEntriesByType('resource').map((one) => one.name)"
        loaded = [url for url in self.browser.execute_script(script) if not url.startswith("data:")]
        self.assertEqual([], [url for url in loaded if not url.startswith(ADDRESS)])
