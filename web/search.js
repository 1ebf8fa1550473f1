import { app } from "../../scripts/app.js";

// Words that animators look for; pages that know `search_aliases` of a node find it by them.
const WORDS = ["interpolate", "inbetween", "in-between", "tween", "cartoon", "anime", "animation", "video", "line art"];

app.registerExtension({
    name: "ToonCrafter.Search",
    beforeRegisterNodeDef(nodeType, nodeData) {
        if (nodeData.name.startsWith("ToonCrafter")) {
            nodeData.search_aliases = [...(nodeData.search_aliases ?? []), ...WORDS];
        }
    },
});
