// A strip of the film on Encode Keyframes and Sketch Guide. It edits the nodes' own text fields and keeps nothing.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { setting } from "../wires.js";
import {
    formatCounts,
    formatIndices,
    makeFilm,
    parseCounts,
    parseIndices,
    Unreadable,
    withoutStrength,
    withStrength,
} from "./frames.js";
import { Strip } from "./strip.js";
import { countOf, encodeBefore, guidesAfter, picturesInto } from "./upstream.js";
import { loadWords, say } from "./words.js";

const HEIGHT = 96;
const MARGIN = 10;
const MODELS = { ToonCrafterEncodeKeyframes: encodeModel, ToonCrafterSketchGuide: guideModel };
const shown = new WeakMap(); // by node: what draws its strip anew

/** What the strip of an Encode Keyframes shows; see `Strip`. */
function encodeModel(node) {
    const film = filmOf(node);
    const sketches = guidesAfter(node).flatMap((guide) => sketchesOf(guide, film, () => []));
    const frames = setting(node, "frames");
    const counts = (counts) => write(node, frames.widget, formatCounts(counts));
    return { ...film, sketches, edit: frames.own ? { counts, done } : {} };
}

/** What the strip of a Sketch Guide shows. */
function guideModel(node) {
    const encode = encodeBefore(node);
    if (!encode) return { message: say("unconnected") };
    const film = filmOf(encode);
    const sketches = sketchesOf(node, film);
    const indices = setting(node, "frame_indices");
    if (!indices.own) return { ...film, sketches, message: say("wired", film.film) };
    const drawings = countOf(picturesInto(node, "sketches"));
    const missing = drawings !== null && drawings !== sketches.length;
    const message = missing ? say("missing", { drawings, frames: sketches.length }) : film.message;
    return { ...film, sketches, message, edit: sketchEdits(node, sketches, indices.widget) };
}

function filmOf(encode) {
    const pictures = picturesInto(encode, "keyframes");
    const loop = Boolean(setting(encode, "loop").value);
    const known = countOf(pictures);
    const frames = setting(encode, "frames");
    const film = makeFilm(parseCounts(frames.value, known, loop), loop);
    const pictureOf = (place) => pictures[loop ? place % known : place];
    const keyframes = film.ends.map((frame, place) => ({ frame, url: address(pictureOf(place)) }));
    const values = { total: film.total, keyframes: film.counts.length + (loop ? 0 : 1) };
    return { film, keyframes, message: say(!frames.own ? "wired" : known === null ? "as_if" : "frames", values) };
}

/** Sketches of a guide by frame; what cannot be read is an error, or what `otherwise` gives. */
function sketchesOf(guide, { film }, otherwise) {
    const pictures = picturesInto(guide, "sketches");
    const single = countOf(pictures) === null && pictures.length === 1; // one animation of all sketches
    try {
        const frames = parseIndices(setting(guide, "frame_indices").value ?? "", film);
        return frames.map((frame, place) => ({ frame, url: address(single && place ? undefined : pictures[place]) }));
    } catch (error) {
        if (!otherwise || !(error instanceof Unreadable)) throw error;
        return otherwise();
    }
}

function sketchEdits(node, sketches, widget) {
    const frames = sketches.map((sketch) => sketch.frame);
    const strengths = setting(node, "strengths");
    const keepStrengths = (text) => strengths.own && text !== strengths.value && write(node, strengths.widget, text);
    return {
        done,
        move: (place, frame) => write(node, widget, formatIndices(frames.with(place, frame))),
        add: (frame) => {
            keepStrengths(withStrength(strengths.value ?? "", frames.length, setting(node, "strength").value));
            write(node, widget, formatIndices([...frames, frame]));
        },
        remove: (place) => {
            keepStrengths(withoutStrength(strengths.value ?? "", frames.length, place));
            write(node, widget, formatIndices(frames.toSpliced(place, 1)));
        },
    };
}

function address(picture) {
    if (!picture?.file) return null;
    const { path, type } = picture.file;
    const slash = path.lastIndexOf("/");
    const [subfolder, filename] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
    return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type, preview: "webp;80" })}`);
}

function write(node, widget, text) {
    widget.value = text;
    widget.callback?.(text, app.canvas, node);
    node.graph.setDirtyCanvas(true, true);
    redraw();
}

/** One step for undo. */
function done() {
    app.extensionManager.workflow.activeWorkflow?.changeTracker?.checkState();
}

function modelOf(node) {
    try {
        return MODELS[node.type](node);
    } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
        return { message: say(error.key, error.values) };
    }
}

/** Draw the strips of the graph on view anew, where something has changed. */
function redraw() {
    for (const node of app.canvas.graph?.nodes ?? []) shown.get(node)?.();
}

/** Vue nodes go on showing the strip of the node that was there before an undo. */
function takePlace(node, element) {
    if (element.isConnected) return;
    document.querySelector(`[data-node-id="${node.id}"] .${element.className}`)?.replaceWith(element);
}

function addStrip(node) {
    const strip = new Strip();
    strip.element.addEventListener("wheel", (event) => {
        // Vue nodes pass it on themselves.
        if (strip.element.closest(".dom-widget")) app.canvas.processMouseWheel(event);
    });
    const height = HEIGHT + 2 * MARGIN;
    const heights = { getMinHeight: () => height, getMaxHeight: () => height };
    const options = { serialize: false, hideInPanel: true, margin: MARGIN, ...heights };
    const widget = node.addDOMWidget("timeline", "TOONCRAFTER_TIMELINE", strip.element, options);
    widget.serialize = false; // neither in the workflow nor in what is queued
    let last = null;
    shown.set(node, () => {
        takePlace(node, strip.element);
        const model = modelOf(node);
        const state = JSON.stringify([model, Object.keys(model.edit ?? {})]);
        if (state !== last) strip.show(model);
        last = state;
    });
}

app.registerExtension({
    name: "ToonCrafter.Timeline",
    async init() {
        const style = document.createElement("link");
        style.rel = "stylesheet";
        style.href = new URL("./strip.css", import.meta.url);
        document.head.append(style);
        await loadWords();
    },
    nodeCreated(node) {
        if (node.comfyClass in MODELS) addStrip(node);
    },
    setup() {
        const drawn = app.canvas.onDrawForeground;
        app.canvas.onDrawForeground = function (...given) {
            drawn?.apply(this, given);
            redraw();
        };
    },
});
