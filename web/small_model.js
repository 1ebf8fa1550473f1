// Whoever chooses the small model in ToonCrafter Loader gets the nodes that it leads to set for it, and is told what was
// changed; an undo takes it back.

import { app } from "../../scripts/app.js";

const LOADER = "ToonCrafterLoader";
const GUIDE = "ToonCrafterSketchGuide";
const ENCODER_LOADER = "ToonCrafterSketchEncoderLoader";
const SMALL = "tooncrafter-tiny (bundled)";

/** What it was made for, as its file says. */
export const SETTINGS = {
    ToonCrafterEncodeKeyframes: { width: 128, height: 64, fps: 24 },
    ToonCrafterSampler: { steps: 4, guidance_scale: 1, clean_end: true },
    KSampler: { steps: 4, cfg: 1 },
    [GUIDE]: { strength: 1 },
    [ENCODER_LOADER]: { sketch_encoder: "tooncrafter-tiny sketch encoder (bundled)" },
};

/** The nodes that wires of a node lead to, and the sketch encoders that they take. */
function nodesAfter(node, found = new Set()) {
    const links = (node.outputs ?? []).flatMap((output) => output.links ?? []);
    for (const { target_id: number } of links.map((link) => node.graph.getLink(link)).filter(Boolean)) {
        const next = node.graph.getNodeById(number);
        if (!next || found.has(next)) continue;
        found.add(next);
        const encoder = next.type === GUIDE && next.getInputNode(next.findInputSlot("control_net"));
        if (encoder) found.add(encoder);
        nodesAfter(next, found);
    }
    return found;
}

/** Set the widgets of a node; what was changed, in words. */
function setUp(node) {
    const changes = [];
    for (const [name, value] of Object.entries(SETTINGS[node.type] ?? {})) {
        const widget = node.widgets.find((widget) => widget.name === name);
        if (!widget || widget.value === value) continue;
        changes.push(`${name} ${widget.value} → ${value}`);
        widget.setValue(value, { node, canvas: app.canvas });
    }
    return changes;
}

function chosen(loader) {
    const changes = [...nodesAfter(loader)].flatMap(setUp);
    if (!changes.length) return;
    app.extensionManager.toast.add({ severity: "info", summary: SMALL, detail: changes.join(", "), life: 20000 });
    loader.graph.setDirtyCanvas(true, true);
}

app.registerExtension({
    name: "ToonCrafter.SmallModel",
    nodeCreated(node) {
        if (node.comfyClass !== LOADER) return;
        const widget = node.widgets.find((widget) => widget.name === "checkpoint");
        const before = widget.callback;
        widget.callback = function (value, ...others) {
            before?.call(this, value, ...others);
            if (value === SMALL && node.graph) chosen(node);
        };
    },
});
