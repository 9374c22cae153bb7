"""Tests what the pages of the console look like where texts are long, colours meet, or a list was reached by a
link; and that the keyboard leads there and back."""

import json
import uuid

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.browser import FIXTURES, post
from tests.web.signed_in import BROADCAST, MESSAGE, SignedIn, now, room_with


class Layout(SignedIn):
    def test_chips_can_be_read_on_every_background(self):
        room = room_with(text="Halo")
        fields = json.loads(next(FIXTURES.glob("01-*")).read_text())["room"] | {"id": room}
        post("03", id=str(uuid.uuid4()), room_id=room, room=fields, text="I am a bot.", created_at=now())
        for theme in ("light", "dark"):
            for width in (1440, 390):
                with self.subTest(theme=theme, width=width):
                    self.resize(width, 900)
                    self.open(f"/conversations/{room}", theme=theme)
                    self.wait(".out.bot .bubble", "I am a bot.")
                    self.assertTrue(self.browser.find_elements(By.CSS_SELECTOR, ".room[aria-current] .chip.warn"))
                    self.assertEqual([], self.serious())

    def test_long_names_and_tags_stay_in_the_conversation(self):
        room = room_with(text="Halo", room={"name": "W" * 150, "tags": ["W" * 180]})
        for width in (1440, 390):
            self.resize(width, 900)
            self.open(f"/conversations/{room}")
            self.wait(".bubble", "Halo")
            for part in (".thread-facts", ".messages", ".thread-head .chips"):
                right = self.browser.execute_script("return document.querySelector(arguments[0]).getBoundingClientRect().right", part)
                self.assertLessEqual(right, width, part)
        self.shoot("long-name-390")

    def test_current_section_is_in_sight_on_a_phone(self):
        self.resize(390, 844)
        for page in ("", "/events", "/trace"):
            self.open(page)
            edges = self.browser.execute_script(
                "const box = document.querySelector('.side nav [aria-current]').getBoundingClientRect(); return [box.left, box.right]")
            self.assertGreaterEqual(edges[0], -1, page)
            self.assertLessEqual(edges[1], 391, page)

    def back(self):
        self.find("body").send_keys(Keys.ESCAPE)

    def until(self, path):
        WebDriverWait(self.browser, 20).until(lambda browser: path in browser.current_url, f"no {path}")

    def test_escape_leads_back_from_what_enter_opened(self):
        lists = ("/broadcasts", f"/broadcasts/{BROADCAST}", "/deliveries?status=any", "/events?outcome=applied", "/ledger", "/agents?period=day", "")
        for page in lists:
            with self.subTest(page=page):
                self.open(page)
                self.wait("[data-row]")
                start = self.browser.current_url
                self.find("body").send_keys("j")
                self.browser.switch_to.active_element.send_keys(Keys.ENTER)
                WebDriverWait(self.browser, 20).until(lambda browser: browser.current_url != start)
                self.wait("h1")
                self.back()
                WebDriverWait(self.browser, 20).until(lambda browser: browser.current_url == start, page)

    def test_slash_goes_to_a_field_on_every_page(self):
        for page in ("/conversations", "/broadcasts", f"/broadcasts/{BROADCAST}", "/deliveries", "/events", "/agents?period=day"):
            self.open(page)
            self.find("body").send_keys("/")
            self.assertTrue(self.browser.execute_script("return document.activeElement.closest('main .filters, main .switch') !== null"), page)
        # Without one, to the search for anything.
        self.open("/ledger")
        self.find("body").send_keys("/")
        self.until("/console/trace")
        self.wait("input[name=id]:focus")

    def test_organisation_is_chosen_beside_the_heading_and_keeps_the_filters(self):
        other = f"organisation-{uuid.uuid4()}"
        room = room_with(text="Halo", organization_id=other, room={"organization_id": other, "name": "Other"})
        self.open("/conversations", response_state="unanswered")
        self.wait("select[name=organization_id]")
        field = self.find("select[name=organization_id]")
        field.find_element(By.CSS_SELECTOR, f"option[value='{other}']").click()
        self.until(f"organization_id={other}")
        self.until("response_state=unanswered")
        self.wait(".room", "Other")
        # From the page of one thing to the list: the other organisation does not have it.
        self.open(f"/conversations/{room}", organization_id=other)
        self.find("select[name=organization_id] option[value='']").click()
        WebDriverWait(self.browser, 20).until(lambda browser: browser.current_url.split("?")[0].endswith("/conversations"))

    def test_body_of_an_event_says_what_was_read(self):
        self.open("/events", subject_id=MESSAGE)
        self.find("[data-row]").click()
        self.wait(".legend", "ignored")
        self.wait(".json mark.read", '"text"')
        self.assertEqual([], self.serious())
        self.shoot("event-1440")
