// Whoever chooses the small model in ToonCrafter Loader gets the nodes that sample with it set for it, and is told what
// was changed; an undo takes it back.

import { app } from "../../scripts/app.js";
import { nodesOf, setting, sourcesOf } from "./wires.js";

const LOADER = "ToonCrafterLoader";
const GUIDE = "ToonCrafterSketchGuide";
const ENCODER_LOADER = "ToonCrafterSketchEncoderLoader";
const SMALL = "tooncrafter-tiny (bundled)";
const MENU = "checkpoint";
const watched = new WeakSet(); // menus
const shown = new WeakSet(); // Loaders; before, a graph in the API's form is written into their menus, as if chosen

/** What it was made for, as its file says. */
export const SETTINGS = {
    ToonCrafterEncodeKeyframes: { width: 128, height: 64, fps: 24 },
    ToonCrafterSampler: { steps: 2, guidance_scale: 1, clean_end: true },
    KSampler: { steps: 2, cfg: 1 },
    [GUIDE]: { strength: 1 },
    [ENCODER_LOADER]: { sketch_encoder: "tooncrafter-tiny sketch encoder (bundled)" },
};

/** The nodes that sample with the model of a Loader, what makes their conditioning, and the sketch encoders in that. */
function nodesOfFilm(loader) {
    const sampling = nodesOf(loader.graph).filter((node) => sourcesOf(node, "MODEL").has(loader));
    const conditions = sampling.flatMap((node) => [...sourcesOf(node, "CONDITIONING")]);
    const guides = conditions.filter((node) => node.type === GUIDE);
    return new Set([...sampling, ...conditions, ...guides.flatMap((node) => [...sourcesOf(node, "CONTROL_NET")])]);
}

/** Set the widgets of a node, but for those that a wire feeds; what was changed, in words. */
function setUp(node) {
    const changes = [];
    for (const [name, wanted] of Object.entries(SETTINGS[node.type] ?? {})) {
        const found = setting(node, name);
        if (!found.own || found.value === wanted) continue;
        changes.push(`${name} ${found.value} → ${wanted}`);
        write(found, wanted);
    }
    return changes;
}

/** As if a user had chosen it. */
function write({ node, widget, value }, wanted) {
    widget.value = wanted;
    widget.callback?.(wanted, app.canvas, node);
    node.onWidgetChanged?.(widget.name, wanted, value, widget);
}

function chosen(loader) {
    const changes = [...nodesOfFilm(loader)].flatMap(setUp);
    if (!changes.length) return;
    app.extensionManager.toast.add({ severity: "info", summary: SMALL, detail: changes.join(", "), life: 20000 });
    app.canvas.setDirty(true, true);
}

/** What a wire brings, as from a Primitive, is written into the menu at each run: that is no choice. */
function watch(menu, loader) {
    if (watched.has(menu)) return;
    watched.add(menu);
    const before = menu.callback;
    menu.callback = function (value, ...others) {
        before?.call(this, value, ...others);
        if (value === SMALL && shown.has(loader) && loader.graph && setting(loader, MENU).own) chosen(loader);
    };
}

app.registerExtension({
    name: "ToonCrafter.SmallModel",
    nodeCreated(node) {
        if (node.comfyClass === LOADER) watch(node.widgets.find((widget) => widget.name === MENU), node);
    },
    setup() {
        const drawn = app.canvas.onDrawForeground;
        app.canvas.onDrawForeground = function (...given) {
            drawn?.apply(this, given);
            // Newer pages give the node around a Loader a menu of its own, at any time, and do not tell the Loader's.
            for (const loader of nodesOf(app.canvas.graph).filter((node) => node.type === LOADER)) {
                shown.add(loader);
                watch(setting(loader, MENU).widget, loader);
            }
        };
    },
});
