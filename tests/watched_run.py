"""What ComfyUI's page is shown while a graph draws: progress, sheets of all frames, and the film that plays."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page

_WATCH = """() => {
    window.seen = {previews: 0, steps: [], shown: []};
    app.api.addEventListener('b_preview_with_metadata', event => window.seen.shown.push(event.detail.blob));
    app.api.addEventListener('b_preview', event => {
        window.seen.previews++;
        window.lastPreview = event.detail;
    });
    app.api.addEventListener('progress', event => window.seen.steps.push(event.detail));
}"""
# The least likeness of neighbours among 4 x 4 parts of the last preview: frames of a scene are alike, corners are not.
_LEAST_LIKENESS = """async () => {
    const picture = await createImageBitmap(window.lastPreview);
    const [width, height] = [picture.width / 4, picture.height / 4];
    const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
    context.drawImage(picture, 0, 0);
    const parts = Array.from({length: 16}, (_, part) => {
        const {data} = context.getImageData((part % 4) * width, Math.floor(part / 4) * height, width, height);
        const values = Array.from(data).filter((_, index) => index % 4 < 3);
        const mean = values.reduce((sum, value) => sum + value) / values.length;
        const centred = values.map(value => value - mean);
        const norm = Math.hypot(...centred);
        return centred.map(value => value / norm);
    });
    const likeness = parts.slice(1).map((part, before) =>
        part.reduce((sum, value, index) => sum + value * parts[before][index], 0));
    return Math.min(...likeness);
}"""
# Of what was handed to the page before the last picture, a sheet: how many are frames of a sheet, how many in all, and
# how many of them differ.
_PLAYED = """async () => {
    const pictures = await Promise.all([...new Set(window.seen.shown)].map(blob => createImageBitmap(blob)));
    const last = pictures.pop();
    const frames = pictures.filter(picture => picture.width * 2 === last.width && picture.height * 2 === last.height);
    const context = new OffscreenCanvas(32, 16).getContext('2d', {willReadFrequently: true});
    const seen = frames.map(frame => {
        context.drawImage(frame, 0, 0, 32, 16);
        return context.getImageData(0, 0, 32, 16).data.join();
    });
    return [frames.length, pictures.length, new Set(seen).size];
}"""


@dataclass(frozen=True)
class Watched:
    """What a page was shown of one run.

    Attributes:
        sheets: previews that the server sent.
        progress: (value, maximum) of each step told.
    """

    sheets: int
    progress: list[tuple[int, int]]


def watch(page: Page) -> None:
    """Before a graph is queued: `watched` then tells of its run."""
    page.evaluate(_WATCH)


def watched(page: Page) -> Watched:
    seen = page.evaluate("({sheets: seen.previews, progress: seen.steps.map(step => [step.value, step.max])})")
    return Watched(seen["sheets"], [tuple(step) for step in seen["progress"]])


def assert_a_film_played(page: Page) -> None:
    """The last sheet has 16 frames of one scene; before it, nothing but frames was shown, and they differ."""
    assert page.evaluate(_LEAST_LIKENESS) > 0.7
    frames, played, differing = page.evaluate(_PLAYED)
    assert frames == played > 1
    assert differing > 1
