// The timeline's texts in the page's language, from `locales/LANGUAGE/main.json`.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

let texts = {};

export async function loadWords() {
    texts = await (await api.fetchApi("/i18n")).json();
}

/** A text with `{name}` replaced by the values; English where there is none in the page's language. */
export function say(key, values = {}) {
    const language = app.extensionManager.setting.get("Comfy.Locale");
    const found = (texts[language] ?? {}).toonCrafterTimeline ?? texts.en?.toonCrafterTimeline;
    return (found?.[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
