// What the graph tells of a film before it runs: the pictures that come over a wire, and the nodes it is made by. Wires are
// followed across the edges of subgraphs.

const ENCODE = "ToonCrafterEncodeKeyframes";
const GUIDE = "ToonCrafterSketchGuide";
const PICTURE = /\.(png|jpe?g|webp|bmp|gif|tiff?)$/i;
const MOVING = /\.(webp|gif)$/i;
const WHOLE_PATH = /^([/\\]|[a-z]:)/i;
const [MUTED, BYPASSED] = [2, 4]; // modes of a node
const OUTSIDE = -10; // where wires begin that come into a subgraph; some pages write it as a text
const UNKNOWN_NODE = { type: "", inputs: [] };

// One picture, or one or more of which nothing is known (`sure` is false); `file` is one of ComfyUI's folders, if any.
const UNKNOWN = { file: null, sure: false };

/**
 * A widget, its value, and whether that is what runs: not so where a wire brings another. Inside a subgraph it may be the
 * widget that stands for it outside.
 */
export function setting(node, name) {
    const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
    const link = slot < 0 ? null : node.graph.getLink(node.inputs[slot].link);
    const place = link && cameIn(link) ? placeOf(node.graph) : null;
    const outside = place && setting(place, place.inputs[link.origin_slot].name);
    if (outside?.widget) return outside;
    const widget = node.widgets?.find((widget) => widget.name === name);
    return { widget, value: widget?.value, own: Boolean(widget) && !link };
}

const cameIn = (link) => Number(link.origin_id) === OUTSIDE;

/** The node that a subgraph is on the graph around it; null where there are several. */
function placeOf(graph) {
    const places = nodesOf(graph).filter((node) => node.subgraph === graph);
    return places.length === 1 ? places[0] : null;
}

/** The node that a wire into an input comes from, or null where nothing is connected. */
function sourceOf(node, slot) {
    const link = node.graph.getLink(node.inputs[slot]?.link);
    if (!link) return null;
    if (cameIn(link)) {
        const place = placeOf(node.graph);
        return place ? sourceOf(place, link.origin_slot) : UNKNOWN_NODE;
    }
    let [source, output] = [node.graph.getNodeById(link.origin_id), link.origin_slot];
    while (source?.subgraph) {
        const inside = source.resolveSubgraphOutputLink(output);
        [source, output] = [inside?.outputNode, inside?.link.origin_slot];
    }
    return source ?? UNKNOWN_NODE;
}

/** All nodes of the workflow that a graph is part of. */
function nodesOf({ rootGraph }) {
    return [rootGraph, ...rootGraph.subgraphs.values()].flatMap((graph) => graph.nodes);
}

/** The pictures that come into an input of a node; none where nothing is connected. */
export function picturesInto(node, name, seen = new Set()) {
    const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
    const source = slot < 0 ? null : sourceOf(node, slot);
    if (!source) return [];
    if (seen.has(source)) return [UNKNOWN];
    const read = source.mode === BYPASSED ? passedOn : (SOURCES[source.type] ?? (() => [UNKNOWN]));
    return read(source, new Set([...seen, source]));
}

/** What a node passes on that takes one batch of pictures, or is bypassed. */
function passedOn(node, seen) {
    const taken = node.inputs.find((input) => ["IMAGE", "*"].includes(input.type));
    return taken ? picturesInto(node, taken.name, seen) : [UNKNOWN];
}

const SOURCES = {
    LoadImage: (node) => [inputFile(setting(node, "image"))],
    ToonCrafterLoadPictures: (node) => namedPictures(setting(node, "pictures")),
    ImageBatch: (node, seen) => [...picturesInto(node, "image1", seen), ...picturesInto(node, "image2", seen)],
    ImageScale: passedOn,
    ImageScaleBy: passedOn,
    ImageInvert: passedOn,
    Reroute: passedOn,
};

/** Load Image's choice, such as "drawings/a.png [output]"; an animation is a batch of any length. */
function inputFile({ value, own }) {
    const [, path, type] = String(value ?? "").match(/^(.*?)(?: \[(input|output|temp)\])?$/s);
    return own && path ? { file: { path, type: type ?? "input" }, sure: !MOVING.test(path) } : UNKNOWN;
}

/** Load Pictures' lines: what is no picture by its name is a folder, and whole paths cannot be shown. */
function namedPictures({ value, own }) {
    const lines = String(value ?? "").split(/\r\n|\r|\n/).map((line) => line.trim()).filter(Boolean);
    if (!own || !lines.length) return [UNKNOWN];
    return lines.map((path) => {
        if (!PICTURE.test(path)) return UNKNOWN;
        return { file: WHOLE_PATH.test(path) ? null : { path, type: "input" }, sure: true };
    });
}

/** How many pictures there are, or null where that shows only when the graph runs. */
export function countOf(pictures) {
    return pictures.length && pictures.every((picture) => picture.sure) ? pictures.length : null;
}

/** The Encode Keyframes whose conditioning reaches a Sketch Guide, if there is one. */
export function encodeBefore(guide, seen = new Set()) {
    seen.add(guide);
    for (const [slot, input] of (guide.inputs ?? []).entries()) {
        const source = ["CONDITIONING", "*"].includes(input.type) && sourceOf(guide, slot);
        if (!source || seen.has(source)) continue;
        const found = source.type === ENCODE ? source : encodeBefore(source, seen);
        if (found) return found;
    }
    return null;
}

/** The Sketch Guides at work that an Encode Keyframes leads to. */
export function guidesAfter(encode) {
    const guides = nodesOf(encode.graph).filter((node) => node.type === GUIDE);
    return guides.filter((guide) => ![MUTED, BYPASSED].includes(guide.mode) && encodeBefore(guide) === encode);
}
