"""Headless Chromium under Selenium, led by lines of JSON: one that asks, one that answers. Ends when nobody asks any more."""

import json
import os
import sys

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

chromium, driver = sys.argv[1:3]
options = webdriver.ChromeOptions()
options.binary_location = chromium
options.add_argument("--headless=new")
options.add_argument("--window-size=1360,760")
options.add_argument("--hide-scrollbars")
# What the browser asks for by itself is none of the page's.
options.add_argument("--disable-background-networking")
options.add_argument("--disable-component-update")
options.add_argument("--disable-dev-shm-usage")
if os.geteuid() == 0:
    options.add_argument("--no-sandbox")
options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
browser = webdriver.Chrome(options=options, service=Service(driver))
browser.set_script_timeout(120)


def requests():
    """What was asked for since the last time, by its address."""
    found = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return found


def do(asked):
    what = asked["do"]
    if what == "open":
        browser.get(asked["url"])
        return None
    if what == "run":
        return browser.execute_script(asked["script"], *asked.get("arguments", []))
    if what == "keys":
        keys = [getattr(Keys, key[1:]) if key.startswith("@") else key for key in asked["keys"]]
        where = browser.find_element(By.CSS_SELECTOR, asked["at"]) if asked.get("at") else browser.switch_to.active_element
        where.send_keys(*keys)
        return None
    if what == "click":
        browser.find_element(By.CSS_SELECTOR, asked["at"]).click()
        return None
    if what == "complaints":
        return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    if what == "requests":
        return requests()
    if what == "dark":
        value = "dark" if asked["dark"] else "light"
        features = [{"name": "prefers-color-scheme", "value": value}]
        return browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    if what == "size":
        metrics = {"width": asked["width"], "height": asked["height"], "deviceScaleFactor": asked["scale"], "mobile": False}
        return browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    if what == "picture":
        browser.save_screenshot(asked["path"])
        return None
    raise ValueError(what)


print(json.dumps({"ok": browser.capabilities["browserVersion"]}), flush=True)
for line in sys.stdin:
    try:
        answer = {"ok": do(json.loads(line))}
    except Exception as error:  # The caller is a test, and says what it asked.
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
browser.quit()
