// What the graph tells of a film before it runs: the pictures that come over a wire, and the nodes it is made by.

const ENCODE = "ToonCrafterEncodeKeyframes";
const GUIDE = "ToonCrafterSketchGuide";
const PICTURE = /\.(png|jpe?g|webp|bmp|gif|tiff?)$/i;
const MOVING = /\.(webp|gif)$/i;
const WHOLE_PATH = /^([/\\]|[a-z]:)/i;

// One picture, or one or more of which nothing is known (`sure` is false); `file` is one of ComfyUI's folders, if any.
const UNKNOWN = { file: null, sure: false };

/** Value of a widget, and whether it is what runs: not so where a wire brings another. */
export function setting(node, name) {
    const widget = node.widgets?.find((widget) => widget.name === name);
    const wired = node.inputs?.some((input) => input.name === name && input.link != null) ?? false;
    return { widget, value: widget?.value, own: Boolean(widget) && !wired };
}

/** The pictures that come into an input of a node; none where nothing is connected. */
export function picturesInto(node, name, seen = new Set()) {
    const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
    if (slot < 0 || node.inputs[slot].link == null) return [];
    const source = node.getInputNode(slot);
    if (!source || seen.has(source)) return [UNKNOWN];
    return (SOURCES[source.type] ?? (() => [UNKNOWN]))(source, new Set([...seen, source]));
}

const firstInput = (node, seen) => (node.inputs?.length ? picturesInto(node, node.inputs[0].name, seen) : [UNKNOWN]);

const SOURCES = {
    LoadImage: (node) => [inputFile(setting(node, "image"))],
    ToonCrafterLoadPictures: (node) => namedPictures(setting(node, "pictures")),
    ImageBatch: (node, seen) => [...picturesInto(node, "image1", seen), ...picturesInto(node, "image2", seen)],
    ImageScale: firstInput,
    ImageScaleBy: firstInput,
    ImageInvert: firstInput,
    Reroute: firstInput,
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

/** The Encode Keyframes whose conditioning reaches a Sketch Guide, if there is one in the same graph. */
export function encodeBefore(guide, seen = new Set()) {
    seen.add(guide);
    for (const [slot, input] of (guide.inputs ?? []).entries()) {
        const source = ["CONDITIONING", "*"].includes(input.type) && input.link != null && guide.getInputNode(slot);
        if (!source || seen.has(source)) continue;
        const found = source.type === ENCODE ? source : encodeBefore(source, seen);
        if (found) return found;
    }
    return null;
}

/** The Sketch Guides that an Encode Keyframes leads to. */
export function guidesAfter(encode) {
    return encode.graph.nodes.filter((node) => node.type === GUIDE && encodeBefore(node) === encode);
}
