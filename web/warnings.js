import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

// What nodes/host/working_settings.py thinks of a Sampler's settings, while there is still time to stop.
app.registerExtension({
    name: "ToonCrafter.Warnings",
    setup() {
        api.addEventListener("tooncrafter.warning", ({ detail }) => {
            const shown = { severity: "warn", summary: "ToonCrafter Sampler", detail: detail.text, life: 20000 };
            app.extensionManager.toast.add(shown);
        });
    },
});
