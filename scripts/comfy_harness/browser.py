"""ComfyUI's page in headless Chromium, for tests of what a user of the page gets to see."""

import base64
import mimetypes
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, sync_playwright

SEARCHED = "[data-testid=result-item], .comfy-vue-node-search-container [role=option]"
"""What the node search offers, on the newest page and on the pinned one."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Without these, Chromium keeps calling services of its maker's, and does not run as root.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A user who has been here before: no template browser at the first visit, no news; and no map over the graph.
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Minimap.Visible": False,
}
DISMISS_BANNER = "localStorage.setItem('vueNodesBannerDismissed', 'true')"
# The page's last step when it starts is to load its own example workflow.
READY = "window.app?.graph?.nodes?.length > 0"
MISSING_NODES = """() => {
    const saved = app.graph.serialize();
    const subgraphs = saved.definitions?.subgraphs ?? [];
    const known = new Set([...Object.keys(LiteGraph.registered_node_types), ...subgraphs.map(s => s.id)]);
    const types = [saved, ...subgraphs].flatMap(graph => graph.nodes.map(node => node.type));
    return [...new Set(types.filter(type => !known.has(type)))].sort();
}"""

DROP = """([name, type, content]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, {type}));
    const at = {clientX: innerWidth / 2, clientY: innerHeight - 150};
    const event = new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true, ...at});
    document.getElementById('graph-canvas').dispatchEvent(event);
}"""


# The last that the server says of a run, that nothing is executing, can come seconds after how it ended.
WATCH_THE_END = """() => {
    window.ended = null;
    let how = null;
    for (const event of ['execution_success', 'execution_error', 'execution_interrupted'])
        app.api.addEventListener(event, () => how = event, {once: true});
    const last = ({detail}) => {
        if (detail !== null || !how) return;
        window.ended = how;
        app.api.removeEventListener('executing', last);
    };
    app.api.addEventListener('executing', last);
}"""


def open_templates(page: Page, pack: str) -> Locator:
    """Open the page's templates at a pack's own, and give their cards once pictures are on them."""
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_text(pack, exact=True).first.click()
    cards = page.locator("[data-testid^=template-workflow-]")
    cards.first.locator("img").first.wait_for()
    return cards


def open_search(page: Page) -> tuple[Locator, Locator]:
    """Open the page's node search over an empty graph, and give its field and what it offers."""
    page.evaluate("() => app.graph.clear()")
    page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.locator("input:focus").wait_for()
    return page.locator("input:focus"), page.locator(SEARCHED)


def find_chromium() -> str | None:
    """The path of an installed Chromium, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def open_page(url: str, width: int = 1600, height: int = 1000, timeout: float = 60) -> Iterator[Page]:
    """Open the page of the ComfyUI server at `url`, and yield it once it is ready for use."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            context = browser.new_context(viewport={"width": width, "height": height})
            context.set_default_timeout(timeout * 1000)
            _stay_on(context, url)
            context.request.post(f"{url}/api/settings", data=SETTINGS)
            context.add_init_script(DISMISS_BANNER)
            page = context.new_page()
            page.goto(url)
            page.wait_for_function(READY)
            yield page
        finally:
            browser.close()


def _stay_on(context: BrowserContext, url: str) -> None:
    """Refuse requests to other hosts: tests must not depend on them, nor wait for them."""
    context.route(lambda address: not address.startswith(url), lambda route: route.abort())


def load_workflow(page: Page, workflow: dict[str, Any]) -> None:
    """Load a workflow as if its file had been dropped on the page."""
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)


def drop_file(page: Page, path: Path) -> None:
    """Drop a file onto an empty place of the canvas."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    page.evaluate(DROP, [path.name, kind, base64.b64encode(path.read_bytes()).decode()])


def missing_nodes(page: Page) -> list[str]:
    """The node types in the loaded workflow, its subgraphs included, that the page does not know."""
    names: list[str] = page.evaluate(MISSING_NODES)
    return names


def to_api_prompt(page: Page) -> dict[str, Any]:
    """The loaded workflow in the form the page would send to /prompt."""
    prompt: dict[str, Any] = page.evaluate("() => app.graphToPrompt().then(result => result.output)")
    return prompt


def fit_view(page: Page) -> None:
    """Bring the whole workflow into the window; nodes outside it are not drawn, nor do they load their pictures."""
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.wait_for_timeout(1000)


def screenshot(page: Page, path: Path) -> Path:
    """Save a picture of the whole window, with the loaded workflow fitted into it."""
    fit_view(page)
    page.screenshot(path=path)
    return path


def watch_the_end(page: Page) -> None:
    """Before a graph is queued: `end_of_run` then tells of its run."""
    page.evaluate(WATCH_THE_END)


def end_of_run(page: Page, timeout: float = 180) -> str:
    """Wait for the end of the run and tell which it was: execution_success, execution_error, execution_interrupted."""
    page.wait_for_function("window.ended", timeout=timeout * 1000)
    ended: str = page.evaluate("window.ended")
    return ended
