"""A preview as the server sends it, handed to ComfyUI's page, and what the page then shows of it."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page

FRAMES = 14
# Frames are grey, each lighter than the one before; 4 x 4 of them in a sheet, of which two are left over.
_PLAY = """async frames => {
    const node = app.graph.nodes.find(node => node.type === 'ToonCrafterSampler');
    app.canvas.ds.scale = 1;
    app.canvas.centerOnNode(node);
    const sheet = new OffscreenCanvas(512, 256);
    const context = sheet.getContext('2d');
    for (let frame = 0; frame < frames; frame++) {
        context.fillStyle = `rgb(${Array(3).fill(16 * frame + 8)})`;
        context.fillRect((frame % 4) * 128, Math.floor(frame / 4) * 64, 128, 64);
    }
    const pixel = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const frameOf = picture => {
        pixel.drawImage(picture, 0, 0, 1, 1);
        return Math.floor(pixel.getImageData(0, 0, 1, 1).data[0] / 16);
    };
    const sizeOf = picture => [picture.width, picture.height];
    const handed = [];
    const keep = event => handed.push(createImageBitmap(event.detail.blob));
    app.api.addEventListener('b_preview_with_metadata', keep);
    const blob = await sheet.convertToBlob({type: 'image/jpeg'});
    const preview = {blob, nodeId: `${node.id}`, displayNodeId: `${node.id}`, promptId: 'shown', jobId: 'shown'};
    app.api.dispatchCustomEvent('tooncrafter_sheet', {frames, columns: 4, frame_rate: 20});
    app.api.dispatchCustomEvent('b_preview_with_metadata', preview);
    const onView = new Set();
    const picture = () => LiteGraph.vueNodesMode
        ? document.querySelector(`[data-node-id="${node.id}"] img`) : node.imgs?.[0];
    const patience = performance.now() + 20000;
    while ((onView.size < 4 || handed.length < frames + 2) && performance.now() < patience) {
        await new Promise(resolve => setTimeout(resolve, 20));
        if (picture()?.naturalWidth === 256) onView.add(frameOf(picture()));
    }
    const played = await Promise.all(handed);
    app.api.dispatchCustomEvent('executing', null);
    const last = await handed.at(-1);
    const count = handed.length;
    app.api.dispatchCustomEvent('b_preview_with_metadata', preview);
    const unannounced = await handed.at(-1);
    await new Promise(resolve => setTimeout(resolve, 150));
    app.api.removeEventListener('b_preview_with_metadata', keep);
    return {order: played.map(frameOf), sizes: played.map(sizeOf), on_view: [...onView], last: sizeOf(last),
            unannounced: sizeOf(unannounced), after_the_end: handed.length - count};
}"""


@dataclass(frozen=True)
class Played:
    """What was handed to the page, and what it showed.

    Attributes:
        order: numbers of the frames handed to the page while the film played.
        sizes: theirs, in pixels.
        on_view: frames that were seen on the node.
        last: size of what was handed over when the node had ended.
        unannounced: size of a preview of which the server had said nothing.
        after_the_end: previews from the film's end on, the unannounced one among them.
    """

    order: list[int]
    sizes: list[list[int]]
    on_view: list[int]
    last: list[int]
    unannounced: list[int]
    after_the_end: int


def play(page: Page) -> Played:
    """Send the Sampler of the loaded workflow a sheet of `FRAMES` frames, and end its run some frames later."""
    return Played(**page.evaluate(_PLAY, FRAMES))


def assert_plays(played: Played) -> None:
    """One frame after the other, and round again; the sheet whole at the end, and when nothing was announced."""
    assert played.order == [place % FRAMES for place in range(len(played.order))]
    assert len(played.order) > FRAMES
    assert {tuple(size) for size in played.sizes} == {(256, 128)}
    assert len(played.on_view) >= 4
    assert played.last == played.unannounced == [512, 256]
    assert played.after_the_end == 1
