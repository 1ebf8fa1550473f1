import { app } from "../../scripts/app.js";

// The one wire type that is ours, in a colour of its own; the others are ComfyUI's.
const TYPE = "TOONCRAFTER_REFERENCES";
const COLOUR = "#7BD88F";

// Every time ComfyUI applies a colour palette, it clears the colours that the palette does not name.
function keepColour(colours) {
    let chosen = COLOUR;
    Object.defineProperty(colours, TYPE, {
        enumerable: true,
        get: () => chosen,
        set: (value) => {
            chosen = value || COLOUR;
        },
    });
}

app.registerExtension({
    name: "ToonCrafter.Colours",
    setup() {
        keepColour(app.canvas.default_connection_color_byType);
        keepColour(app.canvas.constructor.link_type_colors);
    },
});
