"""Base class of the tests of the console: a session, made-up traffic, sizes, pictures and axe-core."""

import base64
import json
import os
import urllib.parse
import uuid
from datetime import datetime, timezone
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.browser import ADDRESS, FIXTURES, KEY, Browser, post

AXE = Path(os.environ["AXE"]).read_text()
SCREENSHOTS = os.environ.get("SCREENSHOTS")
ROOM = "24a60fba-3bc1-4694-9f51-66c4b74d1978"
BROADCAST = "5ea8c3f9-65f3-494a-97f4-1ad64958d1dc"
MESSAGE = "bbad9ab7-b270-4339-a60f-aba6c2fac7a7"
HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>\u202eabc\u2066" + "W" * 3000


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def room_with(**fields):
    """Posts a message in a room of its own, with these fields; returns the id of the room."""
    room = json.loads(next(FIXTURES.glob("01-*")).read_text())["room"] | {"id": str(uuid.uuid4())} | fields.pop("room", {})
    post("01", id=str(uuid.uuid4()), room_id=room["id"], room=room, created_at=now(), **fields)
    return room["id"]


class SignedIn(Browser):
    is_played = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser.get(f"{ADDRESS}/console")
        cls.browser.find_element(By.NAME, "key").send_keys(KEY + Keys.ENTER)
        WebDriverWait(cls.browser, 20).until(lambda browser: browser.find_elements(By.CLASS_NAME, "tiles"))
        if SignedIn.is_played:
            return
        SignedIn.is_played = True
        # The button is there as long as nothing was received; the fixtures are. It is a form of its own.
        cls.browser.execute_async_script(
            "const done = arguments[0]; fetch('/console/demo', {method: 'POST'}).then((r) => done(r.status))")

    def setUp(self):
        self.resize(1440, 900)

    def tearDown(self):
        self.network(offline=False)
        self.assert_no_errors(allowed=r" 404 |ERR_INTERNET_DISCONNECTED|/console/stream")

    def network(self, offline):
        self.browser.set_network_conditions(offline=offline, latency=0, throughput=-1)

    def resize(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def open(self, page, **parameters):
        sign = "&" if "?" in page else "?"
        query = sign + urllib.parse.urlencode(parameters) if parameters else ""
        self.browser.get(f"{ADDRESS}/console{page}{query}")

    def shoot(self, name):
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            height = self.browser.execute_script("return document.documentElement.scrollHeight")
            width = self.browser.execute_script("return innerWidth")
            clip = {"x": 0, "y": 0, "width": width, "height": min(height, 2400), "scale": 1}
            picture = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
            (Path(SCREENSHOTS) / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))

    def serious(self):
        """Findings of axe-core that are serious or critical."""
        # Through the driver, because the page's policy forbids further scripts.
        self.browser.execute_script(AXE)
        script = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations))"
        found = self.browser.execute_async_script(script)
        return [
            f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for one in found if one["impact"] in ("serious", "critical") for node in one["nodes"][:3]
        ]
