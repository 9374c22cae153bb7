"""Opens /docs in Chromium, reads what it shows and asks routes with it."""

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
        self.assert_no_problems(but=" 401 | 422 |favicon")

    def ask(self, route, **values):
        """Fills in the form of a route and sends it; answers where its answer is shown."""
        self.browser.execute_script("document.getElementById(arguments[0]).open = true", route)
        for name, value in values.items():
            field = self.find(f"#{route} [name='{name}']")
            field.clear()
            field.send_keys(value)
        self.find(f"#{route} form button").click()
        return f"#{route} form pre"

    def test_every_route_is_shown(self):
        with urllib.request.urlopen(f"{ADDRESS}/openapi.json") as answer:
            paths = json.load(answer)["paths"]
        routes = [f"{method.upper()} {path}" for path, item in paths.items() for method in item]
        self.assertCountEqual(routes, self.texts("#routes summary b"))

    def test_a_route_is_asked_with_the_key(self):
        self.wait(self.ask("rooms_list", limit="1"), "a key is needed")
        self.find("#key").send_keys(KEY)
        answer, = self.wait(self.ask("rooms_list", limit="1"), '"status": "success"')
        self.assertIn(f"{ADDRESS}/v1/rooms?limit=1", answer)
        self.assertNotIn(KEY, answer)

    def test_a_stream_is_shown_as_it_comes_and_can_be_stopped(self):
        self.find("#key").send_keys(KEY)
        answer = self.ask("stream_listen")
        self.wait(answer, "retry: 2000")
        message = str(uuid.uuid4())
        post("07", id=message)
        told, = self.wait(answer, message)
        last = told.split("id: ")[1].split()[0]
        self.find("#stream_listen form button[type=button]").click()
        self.wait(answer, "stopped")

        # It goes on from where it was, by a header.
        told, = self.wait(self.ask("stream_listen", **{"Last-Event-ID": last}), message)
        self.assertIn(f"-H 'Last-Event-ID: {last}'", told)
        self.assertNotIn("?", told.splitlines()[0])
