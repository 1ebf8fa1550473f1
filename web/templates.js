// The page knows the file names of a pack's templates only, in no order. Here ours are told as the page tells its own:
// the simplest first, a line on each, both from `locales/LANGUAGE/main.json`.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const PACK = decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-2)); // the folder it was installed in

let lines = null;

async function describe(names) {
    const answer = api.fetchApi("/i18n").then((found) => found.json());
    const texts = await answer.catch(() => ({})); // without texts the names do
    const words = texts.en?.toonCrafterTemplates ?? {};
    const said = { ...words, ...texts[app.extensionManager.setting.get("Comfy.Locale")]?.toonCrafterTemplates };
    const order = Object.keys(words);
    const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
    const sorted = names.toSorted((one, other) => place(one) - place(other));
    return sorted.map((name) => ({
        name,
        title: name,
        description: said[name] ?? name,
        mediaType: "image",
        mediaSubtype: "jpg",
    }));
}

/** On pages whose cards have no line below the name (1.58 does not tell one of any template): ours put there. */
function showBelowNames(templates) {
    lines ??= document.head.appendChild(document.createElement("style"));
    lines.textContent = templates
        .map(({ name, description }) => {
            const card = `[data-testid=${CSS.escape(`template-workflow-${name}`)}]`;
            const said = CSS.escape(description);
            return `${card} :has(> h3):not(:has(p))::after { content: "${said}"; font-size: 0.75rem; opacity: 0.8; }`;
        })
        .join("\n");
}

app.registerExtension({
    name: "ToonCrafter.Templates",
    init() {
        if (!api.getWorkflowTemplates || !api.getCoreWorkflowTemplates) return; // a page that asks in another way
        const [named, described] = [api.getWorkflowTemplates.bind(api), api.getCoreWorkflowTemplates.bind(api)];
        api.getWorkflowTemplates = async () => {
            const { [PACK]: _, ...others } = await named();
            return others;
        };
        api.getCoreWorkflowTemplates = async (language) => {
            const [others, { [PACK]: ours = [] }] = await Promise.all([
                described(language),
                named().catch(() => ({})), // the page's own templates do not wait for ours
            ]);
            if (!ours.length) return others;
            const templates = await describe(ours);
            showBelowNames(templates);
            return [...others, { moduleName: PACK, title: PACK, type: "image", templates }];
        };
    },
});
