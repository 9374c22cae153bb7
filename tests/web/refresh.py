"""Tests that open pages of the console are live, say so only then, and lose neither focus nor what is open."""

import json
import uuid

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.browser import ADDRESS, FIXTURES, post
from tests.web.signed_in import BROADCAST, MESSAGE, ROOM, SignedIn, now, room_with

LOADED_AGAIN = "return ![...document.querySelectorAll(arguments[0])].some((one) => one.dataset.old)"


class Refresh(SignedIn):
    def mark(self, selector):
        self.wait("#live.on", "Live")
        self.browser.execute_script("document.querySelectorAll(arguments[0]).forEach((one) => { one.dataset.old = '1'; })", selector)

    def wait_until_loaded_again(self, selector):
        WebDriverWait(self.browser, 30).until(lambda browser: browser.execute_script(LOADED_AGAIN, selector), f"{selector} is not live")

    def test_every_list_is_live(self):
        for page, part in (("", "#overview"), ("/events", "#list > *"), ("/deliveries", "#list > *"), ("/ledger", "#ledger > *")):
            with self.subTest(page=page):
                self.open(page)
                self.mark(part)
                room_with(text="Live")
                self.wait_until_loaded_again(part)

    def test_page_that_is_not_live_does_not_say_so(self):
        self.open("/events", subject_id=MESSAGE)
        self.wait("#live.on", "Live")
        self.assertTrue(self.find("#live").is_displayed())
        for page in (self.find("[data-row]").get_attribute("href").removeprefix(f"{ADDRESS}/console"), f"/trace?id={MESSAGE}"):
            self.open(page)
            self.wait("h1")
            self.assertFalse(self.find("#live").is_displayed(), page)

    def test_refresh_keeps_focus_and_what_is_open(self):
        self.open(f"/broadcasts/{BROADCAST}")
        self.mark("#broadcast > *")
        self.find("details.as-table summary").click()
        self.find("body").send_keys("jj")
        focused = self.browser.switch_to.active_element.get_attribute("href")
        self.assertIn("/console/trace", focused)
        room_with(text="Live")
        self.wait_until_loaded_again("#broadcast > *")
        self.assertEqual(focused, self.browser.switch_to.active_element.get_attribute("href"))
        self.assertTrue(self.find("details.as-table").get_attribute("open"))

    def test_refresh_of_a_conversation_keeps_open_times_and_renews_its_head(self):
        room = room_with(text="Halo")
        fields = json.loads(next(FIXTURES.glob("01-*")).read_text())["room"] | {"id": room}
        answer = str(uuid.uuid4())
        post("07", id=answer, room_id=room, room=fields, text="Answer", created_at=now())
        self.open(f"/conversations/{room}")
        self.wait("#live.on", "Live")
        self.find(f"[id='m-{answer}'] details.statuses summary").click()
        self.wait("#thread-head .chip", "unassigned")
        text = f"Live {uuid.uuid4()}"
        fields |= {"status": "resolved", "last_activity_at": now(), "updated_at": now(), "resolved_at": now(), "tags": ["renewed"]}
        post("01", id=str(uuid.uuid4()), room_id=room, room=fields, text=text, created_at=now())
        self.wait(".bubble", text)
        self.wait("#thread-head .chip", "renewed")
        self.assertTrue(self.find(f"[id='m-{answer}'] details.statuses").get_attribute("open"))

    def test_selected_events_are_not_loaded_away(self):
        self.open("/events", subject_id=MESSAGE)
        self.find("input[name=id]").click()
        self.mark("#list > *")
        room_with(text="Live")
        # Another part shows that the change was heard.
        self.browser.execute_async_script("document.body.addEventListener('changed-slowly', () => setTimeout(arguments[0], 500))")
        self.assertFalse(self.browser.execute_script(LOADED_AGAIN, "#list > *"))
        self.assertTrue(self.find("input[name=id]").is_selected())

    def test_filters_can_be_reset_after_they_were_changed(self):
        self.open("/conversations")
        self.find("input[name=q]").send_keys("rahmawati")
        self.wait("#filters-reset a", "Reset filters")
        self.find("#filters-reset a").click()
        WebDriverWait(self.browser, 20).until(lambda browser: "?" not in browser.current_url)

    def test_replay_asks_before_it_writes(self):
        self.open("/events", subject_id=MESSAGE)
        self.find("input[data-all]").click()
        self.find("button[name=dry_run][value=false]").click()
        self.wait("main", "parse again and write")
        self.assertEqual("Dry run", self.find("button.primary").text)
        self.shoot("replay-confirmation-1440")
        self.find("button[name=dry_run][value=false]").click()
        self.wait(".banner.ok", "outcomes change")
