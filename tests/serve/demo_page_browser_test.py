"""The demo page in a headless Chromium: what a person does, and what hostile names do.

    demo_page_browser_test.py SERVER PROGRAMS FOLDER

SERVER is the program demo_page_server, whose models have no network; PROGRAMS is the folder of
kiln-serve and of what trains a network for it. Pictures of the page go to FOLDER.
Needs chromium, chromium-driver and python3-selenium (scripts/install-packages browser); exit status
77, CTest's "skipped", where one is missing.
"""

import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import zlib

DEBIAN_PYTHON = "/usr/bin/python3"
MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
try:
    from selenium import webdriver
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait
except ImportError:
    # Debian's modules belong to its own python3, which need not be the first on PATH.
    if sys.executable != DEBIAN_PYTHON and os.path.exists(DEBIAN_PYTHON):
        os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON, "-B", *sys.argv])
    MISSING.append("python3-selenium")
if MISSING:
    print(f"skipped: no {' and no '.join(MISSING)} here; scripts/install-packages browser",
          file=sys.stderr)
    sys.exit(77)

SERVER = sys.argv.pop(1)
PROGRAMS = pathlib.Path(sys.argv.pop(1))
SHOTS = pathlib.Path(sys.argv.pop(1))
WAIT_S = 20
# Runs before any script of a page: keeps what the policy refused, and where a script got through.
WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation',
    (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));
window.alert = () => { window.violations.push('alert'); };
"""


def png(width, height, colour_at):
    """Bytes of an RGB picture; colour_at(x, y) gives three bytes."""
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body +
                struct.pack(">I", zlib.crc32(kind + body)))
    rows = b"".join(b"\0" + b"".join(bytes(colour_at(x, y)) for x in range(width))
                    for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def landscape(x, y):
    """A sun over a sea, with more red than anything else."""
    if (x - 150) ** 2 + (y - 60) ** 2 < 900:
        return (255, 220, 120)
    if y < 110:
        return (235, 120 + y // 2, 90)
    return (60 + (x + 3 * y) % 40, 60, 120)


def start_server():
    """The server, which stops at the end of its input: communicate() ends it; and its address."""
    server = subprocess.Popen([SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return server, f"http://127.0.0.1:{int(server.stdout.readline())}/"


def start_browser(folder):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage",
                     "--hide-scrollbars", f"--user-data-dir={folder}/profile"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own refuses root
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(shutil.which("chromedriver"))
    browser = webdriver.Chrome(service=service, options=options)
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    return browser


class InBrowser(unittest.TestCase):
    """A browser for all tests of a class; each begins with the page at `url`."""

    url = None

    @classmethod
    def setUpClass(cls):
        SHOTS.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.browser = start_browser(cls.folder)
        cls.addClassCleanup(cls.browser.quit)

    @classmethod
    def file(cls, name, content):
        path = cls.folder / name
        path.write_bytes(content)
        return path

    def setUp(self):
        self.window(1100, 800)
        self.scheme("light")
        self.browser.get(self.url)
        self.wait(lambda: self.text("name") not in ("", "…"), "the model's name")

    # What the browser complained of: nothing, unless a test has planted it.
    def tearDown(self):
        self.assertEqual(self.violations(), [])
        self.assertEqual(self.complaints(), [])

    def violations(self):
        return self.browser.execute_script("return window.violations")

    def complaints(self):
        refusal = "Failed to load resource: the server responded with a status of 4"  # wanted
        return [entry["message"] for entry in self.browser.get_log("browser")
                if refusal not in entry["message"]]

    def wait(self, condition, what):
        try:
            return WebDriverWait(self.browser, WAIT_S, poll_frequency=0.05).until(
                lambda _: condition())
        except TimeoutException:
            self.fail(f"waited {WAIT_S} s for {what}; the page says: "
                      f"{self.text('status')!r} {self.text('error')!r}")

    def window(self, width, height):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600})

    def scheme(self, name):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": name},
                         {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def shot(self, name):
        height = self.browser.execute_script("return document.documentElement.scrollHeight")
        width = self.browser.execute_script("return innerWidth")
        self.window(width, height)
        self.browser.save_screenshot(str(SHOTS / f"{name}.png"))

    def element(self, name):
        return self.browser.find_element(By.ID, name)

    # As it is in the document, spaces and all.
    def text(self, name):
        return self.element(name).get_property("textContent")

    def bars(self):
        return [(bar.find_element(By.CLASS_NAME, "class").get_property("textContent"),
                 bar.find_element(By.CLASS_NAME, "share").text)
                for bar in self.browser.find_elements(By.CSS_SELECTOR, "#bars li")]

    # Runs `act` and waits until its answer is on the page.
    def answer_to(self, act):
        self.browser.execute_script(
            "document.getElementById('bars').replaceChildren();"
            "document.getElementById('error').textContent = '';")
        act()
        self.wait(lambda: self.text("error") or self.bars(), "an answer")

    def give(self, path):
        self.answer_to(lambda: self.element("file").send_keys(str(path)))

    def predict(self, model, content):
        request = urllib.request.Request(f"{self.url}invocations", content, {
            "Content-Type": "image/png", "X-Amzn-SageMaker-Target-Model": model})
        with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
            return json.load(reply)[0]


class Page(InBrowser):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server, cls.url = start_server()
        cls.addClassCleanup(server.communicate)
        cls.picture = cls.file("sunset.png", png(240, 160, landscape))

    def test_a_picture_becomes_bars(self):
        self.assertEqual(self.text("name"), "colours")
        self.assertEqual(self.text("version"), "3")
        self.assertEqual(self.text("accuracy"), "63.4 % on cifar-10")
        self.assertEqual(self.text("input"), "32\u00a0×\u00a032, colour")
        self.assertFalse(self.element("synthetic").is_displayed())
        self.shot("empty")
        self.give(self.picture)
        outputs = self.predict("colours", self.picture.read_bytes())
        top = max(range(3), key=lambda k: outputs[k])
        bars = self.bars()
        self.assertEqual(bars[0][0], ["red", "green", "blue"][top])
        shares = [float(share.split()[0]) for _, share in bars]
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.assertAlmostEqual(sum(shares), 100, delta=0.3)
        self.assertRegex(self.text("status"), rf"^Most likely {bars[0][0]}, {bars[0][1]}\. "
                                              r"Answered in [\d.]+ ms\.$")
        self.assertFalse(self.element("more").is_displayed(), "three classes need no button")

    def test_the_network_s_view_is_the_server_s(self):
        self.give(self.picture)
        request = urllib.request.Request(f"{self.url}ui/models/colours/input",
                                         self.picture.read_bytes(), {"Content-Type": "image/png"})
        with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
            pixels = list(reply.read())
        seen = self.browser.execute_script(
            "const c = document.getElementById('seen');"
            "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
        self.assertEqual(len(seen), 32 * 32 * 4)
        self.assertEqual([v for i, v in enumerate(seen) if i % 4 < 3], pixels)
        self.wait(lambda: self.element("original").get_property("naturalWidth") == 240,
                  "the picture as it was given")

    def test_screens(self):
        self.give(self.picture)
        for name, width in (("wide", 1100), ("narrow", 390)):
            for scheme in ("light", "dark"):
                self.window(width, 800)
                self.scheme(scheme)
                self.shot(f"{name}-{scheme}")
                self.assertLessEqual(
                    self.browser.execute_script("return document.documentElement.scrollWidth"),
                    width, "nothing hangs over the edge")

    def test_hostile_names_are_text(self):
        Select(self.element("model")).select_by_visible_text("hostile")
        self.give(self.picture)
        with urllib.request.urlopen(f"{self.url}ui/models", timeout=WAIT_S) as reply:
            model = json.load(reply)[1]
        self.assertEqual(self.text("accuracy"), f"98.8 % on {model['data']}")
        self.assertTrue(self.element("synthetic").is_displayed())
        more = self.element("more")
        self.assertTrue(more.is_displayed())
        self.assertEqual(len(self.bars()), 10)
        more.send_keys(Keys.ENTER)
        names = [name for name, _ in self.bars()]
        self.assertEqual(names, [name or f"class {k}" for k, name in enumerate(model["classes"])],
                         "here a later class is less likely")
        self.assertEqual(self.browser.execute_script("return document.activeElement.tagName"), "LI")
        self.assertEqual(self.browser.title, "hostile – kiln")
        inside = self.browser.execute_script(
            "return [...document.querySelectorAll('main *')].map((e) => e.localName)")
        self.assertEqual([n for n in inside if n in ("script", "b", "svg")], ["b"],
                         "the page's own")
        self.assertEqual(inside.count("img"), 1, "the page's own")
        for width in (1100, 390):
            self.window(width, 800)
            self.shot(f"hostile-{width}")
            self.assertLessEqual(
                self.browser.execute_script("return document.documentElement.scrollWidth"), width)

    def test_refusals_are_told(self):
        self.give(self.picture)
        self.give(self.file("words.png", b"these are words"))
        self.assertEqual(self.bars(), [])
        self.assertRegex(self.text("error"), r"^The server answers 400: picture: is neither")
        self.assertEqual(self.text("status"), "")
        self.assertFalse(self.element("views").is_displayed(), "nothing of the picture before")
        self.shot("refused")
        self.give(self.file("anim.gif", b"GIF89a"))
        self.assertRegex(self.text("error"), r"^The server answers 415: .*image/gif")
        self.give(self.file("large.png", self.picture.read_bytes() + bytes(7 << 20)))
        self.assertRegex(self.text("error"), r"^The server answers 413: ")
        self.give(self.picture)
        self.assertEqual(self.text("error"), "")
        self.assertEqual(len(self.bars()), 3, "all is well again")
        self.assertTrue(self.element("views").is_displayed())

    # A file that a script hands to `kind` of event, as the browser does for a person.
    def send_event(self, kind, content):
        self.browser.execute_script("""
            const [kind, bytes] = arguments;
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], 'given.png', {type: 'image/png'}));
            document.body.dispatchEvent(kind === 'paste'
                ? new ClipboardEvent(kind, {bubbles: true, clipboardData: data})
                : new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data}));""",
                                    kind, list(content))

    def test_paste_and_drop(self):
        for kind, colour, name in (("paste", (0, 0, 255), "blue"), ("drop", (0, 255, 0), "green")):
            with self.subTest(kind):
                content = png(20, 20, lambda x, y, c=colour: c)
                self.answer_to(lambda k=kind, c=content: self.send_event(k, c))
                self.assertEqual(self.bars()[0][0], name)

    def test_the_newest_picture_wins(self):
        self.browser.execute_script("""
            const [real, late] = [window.fetch, (done) => setTimeout(done, 400)];
            let predictions = 0;
            window.fetch = async (path, options) => {
                const reply = await real(path, options);
                if (path === 'invocations' && ++predictions === 1) await new Promise(late);
                return reply;
            };
            window.predictions = () => predictions;""")
        self.send_event("drop", png(20, 20, lambda x, y: (0, 0, 255)))
        self.wait(lambda: self.browser.execute_script("return window.predictions()") == 1,
                  "the first picture's answer, which is held back")
        self.answer_to(lambda: self.send_event("drop", png(20, 20, lambda x, y: (0, 255, 0))))
        self.assertEqual(self.bars()[0][0], "green")
        time.sleep(0.8)
        self.assertEqual(self.bars()[0][0], "green")
        self.assertEqual(self.text("error"), "")

    def test_keyboard(self):
        order = []
        for _ in range(2):
            self.browser.switch_to.active_element.send_keys(Keys.TAB)
            order.append(self.browser.execute_script("return document.activeElement.id"))
        self.assertEqual(order, ["model", "file"])
        ring = self.browser.execute_script(
            "return getComputedStyle(document.querySelector('.drop')).outlineStyle")
        self.assertEqual(ring, "solid", "where the keyboard is can be seen")
        self.shot("focus")
        nodes = self.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        named = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes
                 if not n["ignored"]}
        roles = {role for role, _ in named}
        self.assertLessEqual({"heading", "combobox", "status", "alert", "banner", "main"}, roles)
        self.assertIn(("combobox", "Model"), named)
        self.assertIn("Choose a picture or drop or paste one: PNG or JPEG",
                      {name for _, name in named})

    def polls(self):
        return self.browser.execute_script(
            "return performance.getEntriesByType('resource')"
            ".filter((e) => e.name.endsWith('/metrics')).length")

    def test_the_rate_is_live_and_rests_when_hidden(self):
        self.wait(lambda: self.text("rate") == "0 requests/s", "a rate of nothing")

        def busy():
            for _ in range(10):
                self.predict("colours", self.picture.read_bytes())
            return self.text("rate") not in ("", "0 requests/s")
        self.wait(busy, "a rate of something")
        self.assertRegex(self.text("rate"), r"^[\d.]+ requests/s$")
        self.shot("rate")
        self.browser.execute_script(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))")
        time.sleep(0.5)
        before = self.polls()
        time.sleep(4.5)
        self.assertEqual(self.polls(), before, "a hidden page asks for nothing")
        self.browser.execute_script(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        self.wait(lambda: self.polls() > before, "the page to go on")

    def test_a_server_that_is_gone(self):
        server, url = start_server()
        self.browser.get(url)
        self.wait(lambda: self.text("name") == "colours", "the model's name")
        server.communicate()
        self.wait(lambda: self.text("rate") == "The server does not answer.", "the header's words")
        self.give(self.picture)
        self.assertEqual(self.text("error"), "The server does not answer.")
        self.browser.get_log("browser")  # refused connections, which are meant

    # That the watch above sees a violation, and that the policy holds.
    def test_what_is_planted_is_refused(self):
        self.browser.execute_script("""
            const body = document.body, elsewhere = 'http://127.0.0.2:9/x';
            const attempt = (act) => { try { act(); } catch { } };
            body.append(Object.assign(new Image(), {src: elsewhere}));
            fetch(elsewhere).catch(() => {});
            import(elsewhere).catch(() => {});
            body.setAttribute('style', 'display: none');
            attempt(() => body.setAttribute('onclick', 'document.title = "broken in"'));
            body.click();
            attempt(() => { body.innerHTML = '<i>markup</i>'; });""")
        wanted = ("img-src", "connect-src", "script-src", "style-src", "require-trusted-types-for")
        self.wait(lambda: all(any(v.startswith(directive) for v in self.violations())
                              for directive in wanted), "a violation of each kind")
        self.assertTrue(self.element("name").is_displayed())
        self.assertEqual(self.browser.title, "colours – kiln")
        self.assertTrue(self.complaints(), "the console tells of it too")
        self.browser.execute_script("window.violations = []")


def without_settings() -> dict[str, str]:
    """The environment without variables KILN_..., which the server would take for its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KILN_")}


class TrainedNetwork(InBrowser):
    """kiln-serve with a network that kiln-train has trained for seconds."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        data, model = cls.folder / "data", cls.folder / "model"
        run = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        subprocess.run([PROGRAMS / "kiln-data", "synth", data, "--train-count", "4000",
                        "--test-count", "500"], **run)
        subprocess.run([PROGRAMS / "kiln-train", "--model", "lenet", "--data", data, "--model-dir",
                        model, "--optimizer", "adam", "--epochs", "8", "--no-report"], **run)
        cls.pictures = (data / "test_batch.bin").read_bytes()
        cls.card = json.loads((model / "model.json").read_text())
        cls.versions = cls.folder / "versions"
        cls.versions.mkdir()
        model.rename(cls.versions / "1")
        server = subprocess.Popen([PROGRAMS / "kiln-serve", cls.versions, "--port", "0", "--address",
                                   "127.0.0.1", "--watch-ms", "100", "--log-level", "quiet"],
                                  stdout=subprocess.PIPE, text=True, env=without_settings())
        cls.addClassCleanup(server.wait, 40)
        cls.addClassCleanup(server.terminate)
        cls.addClassCleanup(server.stdout.close)
        cls.url = re.search(r"http://[\d.]+:\d+", server.stdout.readline())[0] + "/"

    # Picture `k` of the test set: a label, and 32 x 32 of each colour.
    def example(self, k):
        pixels = self.pictures[3073 * k + 1:3073 * (k + 1)]
        return png(32, 32, lambda x, y: [pixels[1024 * c + 32 * y + x] for c in range(3)])

    def test_its_answers_are_those_of_invocations(self):
        self.assertEqual(self.text("name"), "lenet")
        self.assertEqual(self.text("accuracy"),
                         f"{100 * self.card['accuracy']:.1f} % on synthetic stand-in")
        self.assertTrue(self.element("synthetic").is_displayed())
        for k in range(3):
            content = self.example(k)
            self.give(self.file(f"example-{k}.png", content))
            outputs = self.predict("lenet", content)
            top = max(range(10), key=lambda c, o=outputs: o[c])
            self.assertEqual(self.bars()[0][0], self.card["classes"][top])
            self.assertEqual(len(self.bars()), 10)
        self.shot("trained")

    def test_a_new_version_is_seen(self):
        self.assertEqual(self.text("version"), "1")
        shutil.copytree(self.versions / "1", self.folder / "next")
        (self.folder / "next").rename(self.versions / "2")
        self.wait(lambda: self.text("version") == "2", "the new version, without loading the page")


if __name__ == "__main__":
    unittest.main(verbosity=2)
