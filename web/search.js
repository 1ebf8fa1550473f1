import { app } from "../../scripts/app.js";

const PACK = decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-2)); // the folder it was installed in

// Words that animators look for; pages that know `search_aliases` of a node find it by them.
const WORDS = ["interpolate", "inbetween", "in-between", "tween", "cartoon", "anime", "animation", "video", "line art"];

app.registerExtension({
    name: "ToonCrafter.Search",
    beforeRegisterNodeDef(nodeType, nodeData) {
        if (nodeData.python_module === `custom_nodes.${PACK}`) {
            nodeData.search_aliases = [...(nodeData.search_aliases ?? []), ...WORDS];
        }
    },
});
