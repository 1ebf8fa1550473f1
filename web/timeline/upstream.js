// What the graph tells of a film before it runs: the pictures that come over a wire, and the nodes it is made by.

import { BYPASSED, nodesOf, setting, sourceOf, sourcesOf } from "../wires.js";

const ENCODE = "ToonCrafterEncodeKeyframes";
const GUIDE = "ToonCrafterSketchGuide";
const PICTURE = /\.(png|jpe?g|webp|bmp|gif|tiff?)$/i;
const MOVING = /\.(webp|gif)$/i;
const WHOLE_PATH = /^([/\\]|[a-z]:)/i;
const MUTED = 2; // a mode of a node

// One picture, or one or more of which nothing is known (`sure` is false); `file` is one of ComfyUI's folders, if any.
const UNKNOWN = { file: null, sure: false };

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
export function encodeBefore(guide) {
    return [...sourcesOf(guide, "CONDITIONING")].find((source) => source.type === ENCODE) ?? null;
}

/** The Sketch Guides at work that an Encode Keyframes leads to. */
export function guidesAfter(encode) {
    const guides = nodesOf(encode.graph).filter((node) => node.type === GUIDE);
    return guides.filter((guide) => ![MUTED, BYPASSED].includes(guide.mode) && encodeBefore(guide) === encode);
}
