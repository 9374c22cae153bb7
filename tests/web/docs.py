"""Tests the page /docs in Chromium: listed routes, requests and the stream."""

import json
import urllib.request
import uuid

from tests.web.browser import ADDRESS, KEY, Browser, post


class Docs(Browser):
    def setUp(self):
        self.browser.get(f"{ADDRESS}/docs")
        self.browser.execute_script("sessionStorage.clear()")
        self.browser.refresh()
        self.wait("#routes summary", "GET /v1/rooms")

    def tearDown(self):
        self.assert_no_errors(allowed=" 401 | 422 |favicon")

    def send(self, route, **values):
        """Fills in and sends the form of a route; returns the selector of its response."""
        self.browser.execute_script("document.getElementById(arguments[0]).open = true", route)
        for name, value in values.items():
            field = self.find(f"#{route} [name='{name}']")
            field.clear()
            field.send_keys(value)
        self.find(f"#{route} form button").click()
        return f"#{route} form pre"

    def test_every_route_of_the_document_is_listed(self):
        with urllib.request.urlopen(f"{ADDRESS}/openapi.json") as response:
            paths = json.load(response)["paths"]
        routes = [f"{method.upper()} {path}" for path, item in paths.items() for method in item]
        self.assertCountEqual(routes, self.texts("#routes summary b"))

    def test_request_is_sent_with_the_key_and_does_not_show_it(self):
        self.wait(self.send("list_rooms", limit="1"), "API key missing")
        self.find("#key").send_keys(KEY)
        response, = self.wait(self.send("list_rooms", limit="1"), '"status": "success"')
        self.assertIn(f"{ADDRESS}/v1/rooms?limit=1", response)
        self.assertNotIn(KEY, response)

    def test_stream_is_shown_live_can_be_stopped_and_resumes(self):
        self.find("#key").send_keys(KEY)
        response = self.send("get_stream")
        self.wait(response, "retry: 2000")
        message = str(uuid.uuid4())
        post("07", id=message)
        text, = self.wait(response, message)
        last = text.split("id: ")[1].split()[0]
        self.find("#get_stream form button[type=button]").click()
        self.wait(response, "stopped")

        # It resumes with the header Last-Event-ID.
        text, = self.wait(self.send("get_stream", **{"Last-Event-ID": last}), message)
        self.assertIn(f"-H 'Last-Event-ID: {last}'", text)
        self.assertNotIn("?", text.splitlines()[0])
