"""Tests examples/dashboard in Chromium. scripts/test-web.sh provides the page at PAGES, the service
with the fixtures at ADDRESS, a TOKEN and a KEY."""

import json
import re
import urllib.parse
import urllib.request
import uuid
from datetime import datetime, timezone

from selenium.webdriver.support.ui import WebDriverWait

from tests.web.browser import ADDRESS, FIXTURES, KEY, PAGES, Browser, post

ROOM = "24a60fba-3bc1-4694-9f51-66c4b74d1978"
BROADCAST = "5ea8c3f9-65f3-494a-97f4-1ad64958d1dc"
# Chromium's "offline" does not abort responses that are being read; `abortAll()` does.
ABORTABLE_FETCH = """
const [originalFetch, controllers] = [window.fetch, new Set()];
window.abortAll = () => controllers.forEach((controller) => controller.abort());
window.fetch = (url, request) => {
  const controller = new AbortController();
  controllers.add(controller);
  const signal = AbortSignal.any([controller.signal, request?.signal].filter(Boolean));
  return originalFetch(url, { ...request, signal });
};
"""
HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


class Dashboard(Browser):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": ABORTABLE_FETCH})

    def setUp(self):
        """Opens the rooms with an empty session storage."""
        self.browser.get(PAGES)
        self.browser.execute_script("sessionStorage.clear()")
        self.go("#/rooms")
        self.browser.refresh()

    def tearDown(self):
        self.assert_no_errors(allowed=" 401 |ERR_INTERNET_DISCONNECTED")

    def go(self, place):
        self.browser.get(f"{PAGES}/{place}")

    def enter(self, key=KEY, address=ADDRESS):
        for name, text in (("address", address), ("key", key)):
            field = self.find(f"#enter [name={name}]")
            field.clear()
            field.send_keys(text)
        self.find("#enter button").click()

    def open(self, place):
        self.enter()
        self.wait("#live.on")
        self.go(place)

    def test_room_list_can_be_filtered_and_searched(self):
        self.open("#/rooms")
        self.assertGreater(len(self.wait("ul.rooms li", "Siti Rahmawati")), 3)

        self.find("select[name=status]").send_keys("resolved")
        WebDriverWait(self.browser, 20).until(lambda _: set(self.texts(".mark:first-child")) == {"resolved"})
        self.assertIn("status=resolved", self.browser.current_url)

        self.go("#/rooms?q=rahmawti")
        WebDriverWait(self.browser, 20).until(lambda _: len(self.texts("ul.rooms li")) == 1)
        self.wait("ul.rooms li", "Siti Rahmawati")

    def test_room_list_pages_forward_and_back(self):
        self.open("#/rooms?limit=2")
        self.wait("ul.rooms li", "")
        WebDriverWait(self.browser, 20).until(lambda _: len(self.texts("ul.rooms li")) == 2)
        first = self.texts("ul.rooms li")
        self.find("nav.pages a").click()
        self.wait("nav.pages a", "Newer")
        second = self.texts("ul.rooms li")
        self.assertFalse(set(first) & set(second))
        self.find("nav.pages a").click()
        WebDriverWait(self.browser, 20).until(lambda _: self.texts("ul.rooms li") == first)

    def test_room_shows_messages_with_senders_and_statuses(self):
        self.open(f"#/rooms/{ROOM}")
        question, = self.wait(".messages [data-id='1b6321cd-5091-4cd9-bd8b-91220cd20198']")
        self.assertIn("Siti Rahmawati", question)
        self.assertIn("Halo Kak, kemeja batik ukuran L masih ada?", question)

        reply, = self.texts(".messages [data-id='bbad9ab7-b270-4339-a60f-aba6c2fac7a7']")
        self.assertIn("Rizky Hidayat", reply)
        self.assertRegex(reply, r"✓✓\s+read by ")
        failed, = self.texts(".messages [data-id='e674cac5-f2d7-4066-8a5d-615e55f52d29'] .progress")
        self.assertRegex(failed, r"!\s+failed")
        self.assertEqual(1, len(self.texts(".messages [data-id='1ebd2a3d-6f16-4730-8fc5-ae6cbd29293d'] q")))
        self.wait(".messages .file", "Rumah Siti")

    def test_new_messages_and_statuses_appear_without_reload(self):
        self.open(f"#/rooms/{ROOM}")
        self.wait(".messages li", "Halo Kak")
        self.browser.execute_script("window.isTheSame = true")
        message, text = str(uuid.uuid4()), f"Live {uuid.uuid4()}"
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

        post("07", id=message, text=text, created_at=now)
        self.wait(".messages li:last-child", text)
        self.wait(f"[data-id='{message}'] .progress", "created")
        post("10", id=message, text=text, created_at=now)
        self.wait(f"[data-id='{message}'] .progress", "sent")
        post("08", id=message, text=text, created_at=now)
        self.wait(f"[data-id='{message}'] .progress", "read")
        self.assertTrue(self.browser.execute_script("return window.isTheSame"))

    def test_messages_missed_while_offline_appear_after_reconnect(self):
        self.open(f"#/rooms/{ROOM}")
        self.wait(".messages li", "Halo Kak")
        self.network(offline=True)
        self.addCleanup(self.network, offline=False)
        self.browser.execute_script("abortAll()")
        self.wait("#live:not(.on)", "connecting")
        text = f"Missed {uuid.uuid4()}"
        post("07", id=str(uuid.uuid4()), text=text)
        self.network(offline=False)
        self.wait("#live.on")
        self.wait(".messages li", text)

    def network(self, offline):
        self.browser.set_network_conditions(offline=offline, latency=0, throughput=-1)

    def test_html_in_texts_is_escaped(self):
        room = json.loads(next(FIXTURES.glob("01-*")).read_text())["room"] | {"id": str(uuid.uuid4()), "name": HOSTILE, "tags": [HOSTILE]}
        post("01", id=str(uuid.uuid4()), room_id=room["id"], room=room, text=HOSTILE, sender={"name": HOSTILE})
        self.open(f"#/rooms/{room['id']}")
        self.assertIn(HOSTILE, self.wait(".messages p", HOSTILE))
        self.wait(".conversation h2", HOSTILE)
        self.wait("ul.rooms .tag", HOSTILE)
        self.assertEqual([], self.texts("img, main script"))
        self.assertEqual("Dashboard", self.browser.title)

    def test_broadcast_shows_funnel_and_error_codes(self):
        self.open("#/broadcasts")
        self.wait("td a", "Promo Gajian Juni")
        self.go(f"#/broadcasts/{BROADCAST}")
        self.wait("h2", "Promo Gajian Juni")
        counts = {step: self.texts(f"[data-step={step}] strong") for step in ("total", "sent", "delivered", "read", "failed")}
        self.assertEqual({"total": ["5"], "sent": ["3"], "delivered": ["2"], "read": ["1"], "failed": ["2"]}, counts)
        self.wait(".failures tr", "131026")
        self.wait(".failures tr", "Check the number, use another channel.")

    def test_statistics_are_drawn_as_charts(self):
        self.open("#/stats?start_date=2025-06-11&end_date=2025-06-13&time_zone=Asia/Jakarta")
        self.wait(".tiles div", "Open rooms")
        titles = self.browser.execute_script("return [...document.querySelectorAll('rect title')].map((one) => one.textContent)")
        self.assertEqual(6, len(titles))
        messages = {name: int(next(t for t in titles if re.match(f"2025-06-12: .* {name}$", t)).split()[1]) for name in ("in", "out")}
        self.assertGreater(messages["in"], 5)
        self.assertGreater(messages["out"], 2)

    def test_wrong_key_shows_an_error_and_is_not_stored(self):
        self.enter(key="wrong")
        self.wait("#problem", "This key is not accepted.")
        self.assertTrue(self.find("#enter").is_displayed())
        self.assertEqual(0, self.browser.execute_script("return Object.keys(sessionStorage).filter((one) => one === 'key').length"))

    def test_only_documented_routes_are_requested_and_no_url_contains_the_key(self):
        for place in ("#/rooms", f"#/rooms/{ROOM}", "#/broadcasts", f"#/broadcasts/{BROADCAST}", "#/stats"):
            if place == "#/rooms":
                self.open(place)
            self.go(place)
            self.wait("main *", "")
        with urllib.request.urlopen(f"{ADDRESS}/openapi.json") as response:
            paths = json.load(response)["paths"]
        WebDriverWait(self.browser, 20).until(lambda _: any("/v1/stats" in url for url in self.requested_urls()))
        for url in self.requested_urls():
            requested = urllib.parse.urlsplit(url)
            path = next(path for path in paths if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), requested.path))
            known = {parameter["name"] for parameter in paths[path]["get"]["parameters"]}
            self.assertLessEqual(urllib.parse.parse_qs(requested.query).keys(), known, path)
            self.assertNotIn(KEY, url)
        self.assertNotIn(KEY, self.browser.current_url)

    def requested_urls(self):
        script = "return performance.getEntriesByType('resource').map((one) => one.name)"
        return [url for url in self.browser.execute_script(script) if url.startswith(ADDRESS)]
