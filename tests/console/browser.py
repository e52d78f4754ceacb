"""Headless Chromium that looks at a console, and what a test asks of the page."""

import functools
import shutil
import unittest

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_SECONDS = 60
PASSING = (NoSuchElementException, StaleElementReferenceException, ElementClickInterceptedException)

# Every text that is seen, with the contrast between it and what is behind it.
CONTRASTS = """
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const behind = (node) => {
    const all = [];
    for (let at = node; at; at = at.parentElement) all.push(parse(getComputedStyle(at).backgroundColor));
    return all.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.nodeValue.trim() || !node.checkVisibility() || ["NOSCRIPT", "OPTION", "TITLE", "title"].includes(node.nodeName) || node.disabled) continue;
    const style = getComputedStyle(node);
    const under = behind(node);
    const [a, b] = [light(over(parse(node.ownerSVGElement ? style.fill : style.color), under)), light(under)].sort((x, y) => y - x);
    found.push([text.nodeValue.trim(), (a + 0.05) / (b + 0.05)]);
  }
  return found;
"""

# What has no name for whoever cannot see it.
NAMELESS = """
  return [...document.querySelectorAll("button, a[href], input, select, [role=img], nav, section, dialog")].filter((node) => node.checkVisibility()).filter((node) => {
    const labelled = (node.getAttribute("aria-labelledby") || "").split(" ").some((id) => id && document.getElementById(id)?.textContent.trim());
    return !(node.getAttribute("aria-label") || labelled || node.textContent.trim() || node.labels?.length);
  }).map((node) => node.outerHTML);
"""


class Browser:
    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        # As root there is no sandbox, and /dev/shm may be small.
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--disable-background-networking"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=webdriver.ChromeService(shutil.which("chromedriver")) if hasattr(webdriver, "ChromeService")
                                       else webdriver.chrome.service.Service(shutil.which("chromedriver")), options=options)
        self.look()

    def close(self):
        self.driver.quit()

    def look(self, width=1280, height=900, dark=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def open(self, address):
        self.driver.get("about:blank")
        self.driver.get(address)

    def leave(self):
        """Before who serves the page goes: what it asks then would be the next test's complaint."""
        self.driver.get("about:blank")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, what):
        return WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.1, ignored_exceptions=PASSING).until(lambda _: condition(), what)

    # ---- Seeing --------------------------------------------------------------------------------------

    def text(self, selector="main"):
        return self.run("return document.querySelector(arguments[0])?.innerText || ''", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", selector)

    def count(self, selector):
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def see(self, words, selector="main"):
        self.wait(lambda: words in self.text(selector), lambda_text(self, words, selector))

    def see_no_more(self, words, selector="main"):
        self.wait(lambda: words not in self.text(selector), f"{words!r} is still in {selector}")

    def log(self):
        """What the browser itself complains of since it was asked last."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    # ---- Doing ---------------------------------------------------------------------------------------

    def find(self, selector, words=""):
        return next(one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if words in one.text)

    def click(self, selector, words=""):
        def done():
            try:
                self.find(selector, words).click()
            except StopIteration:
                return False
            return True
        self.wait(done, f"there is no {selector} with {words!r}")

    def type(self, selector, text):
        field = self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, selector), f"there is no {selector}")
        field.clear()
        field.send_keys(text)

    def key(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)


def lambda_text(browser, words, selector):
    """WebDriverWait takes words alone, and these are of the moment when it gives up."""
    class Late(str):
        def __str__(self):
            return f"{words!r} is not in {selector}: {browser.text(selector)[:2000]!r}"
        __repr__ = __str__
    return Late("late")


@functools.cache
def browser_of_all():
    """One for all tests of a program."""
    browser = Browser()
    unittest.addModuleCleanup(browser.close)
    return browser


__all__ = ["Browser", "CONTRASTS", "NAMELESS", "Keys", "browser_of_all"]
