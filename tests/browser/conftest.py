"""A real Chromium without a window; these tests are skipped where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

T = TypeVar("T")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,900",
    # whatever a page asks for, no name but this machine's is ever found
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

LISTEN = """
(() => {
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to === this.context.destination) {
      window.ear ??= new AnalyserNode(this.context, { fftSize: 4096, smoothingTimeConstant: 0 });
      connect.call(this, window.ear);
    }
    return connect.call(this, to, ...rest);
  };
  window.alerts = [];
  window.alert = (text) => window.alerts.push(text);
  window.loudestHz = () => {
    if (!window.ear) return 0;
    const levels = new Float32Array(window.ear.frequencyBinCount);
    window.ear.getFloatFrequencyData(levels);
    const at = levels.indexOf(Math.max(...levels));
    return levels[at] < -90 ? 0 : at * window.ear.context.sampleRate / window.ear.fftSize;
  };
})();
"""
"""Run before a page's own script: what goes to the loudspeaker can be measured, alerts are recorded."""


class Browser:
    """A Chromium and what it asked for.

    Attributes:
        driver: Selenium's driver.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        self.requests()
        self.errors()
        self.driver.get(address)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def run(self, script: str, *values: object) -> Any:
        return self.driver.execute_script(script, *values)

    def wait(self, check: Callable[[], T], what: str) -> T:
        """Until a check holds; the errors of the page are told if it never does."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        try:
            found: T = WebDriverWait(self.driver, 60, poll_frequency=0.05).until(lambda _: check())
        except TimeoutException:
            raise AssertionError(f"waited in vain for: {what}; {self.errors()}") from None
        return found

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, without those in the page itself."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def errors(self) -> list[str]:
        """Lines of the console since the last call, with breaches of the security policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium; apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})
        yield Browser(chrome)
    finally:
        chrome.quit()


@pytest.fixture
def browser(_chromium: Browser, tmp_path: Path) -> Browser:
    """The one Chromium of all tests, with the test's folder for downloads."""
    _chromium.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    # smooth scrolling moves what a click aims at
    motion = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    _chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", motion)
    return _chromium
