// Plays the frames of a preview one after the other while a node samples. The server sends them as one sheet, and says
// so before (nodes/host/previews.py). Each frame is handed to the page as a preview of its own, which it shows like any
// other: on classic and Vue nodes, and on the subgraphs around them. After sampling the last sheet stays, whole.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const PREVIEW = "b_preview_with_metadata";
const ENLARGED = 2; // pages draw pictures up to their own size, and the frames of a sheet are small

let announced = null; // of the preview that comes next: number of frames, columns, frame rate
let playing = null;
let handingOver = false;

/** The frames of a sheet, row by row, as pictures. */
async function cut({ detail, frames, columns }) {
    const sheet = await createImageBitmap(detail.blob);
    const [width, height] = [sheet.width / columns, sheet.height / Math.ceil(frames / columns)];
    const pictures = Array.from({ length: frames }, (_, frame) => {
        const canvas = new OffscreenCanvas(Math.round(width * ENLARGED), Math.round(height * ENLARGED));
        const [left, top] = [(frame % columns) * width, Math.floor(frame / columns) * height];
        canvas.getContext("2d").drawImage(sheet, left, top, width, height, 0, 0, canvas.width, canvas.height);
        return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
    });
    sheet.close();
    return Promise.all(pictures);
}

function handOver(detail) {
    handingOver = true;
    api.dispatchCustomEvent(PREVIEW, detail);
    handingOver = false;
    app.canvas?.setDirty(true);
}

/** What one node samples. Of sheets that come faster than they can be cut, the newest is next. */
class Film {
    #frames = [];
    #next = 0;
    #cutting = false;
    #timer = null;

    constructor(node) {
        this.node = node;
    }

    async take(sheet) {
        this.newest = sheet;
        if (this.#cutting) return;
        this.#cutting = true;
        for (let done = null; done !== this.newest && playing === this; ) {
            done = this.newest;
            this.#frames = await cut(done).catch(() => [done.detail.blob]); // what cannot be cut is shown whole
            if (this.#timer === null && playing === this) this.#play();
        }
        this.#cutting = false;
    }

    #play() {
        this.#next %= this.#frames.length;
        handOver({ ...this.newest.detail, blob: this.#frames[this.#next++] });
        this.#timer = setTimeout(() => this.#play(), 1000 / this.newest.frame_rate);
    }

    end() {
        clearTimeout(this.#timer);
        handOver(this.newest.detail);
    }
}

function end() {
    const ended = playing;
    announced = playing = null;
    ended?.end();
}

app.registerExtension({
    name: "ToonCrafter.Previews",
    init() {
        api.addEventListener("tooncrafter_sheet", ({ detail }) => {
            announced = detail;
        });
        const takeSheet = (event) => {
            if (handingOver || !announced) return;
            event.stopImmediatePropagation();
            const sheet = { ...announced, detail: event.detail };
            announced = null;
            if (playing?.node !== event.detail.displayNodeId) {
                end();
                playing = new Film(event.detail.displayNodeId);
            }
            playing.take(sheet);
        };
        api.addEventListener(PREVIEW, takeSheet, true); // before the page's own
        api.addEventListener("executing", ({ detail }) => detail !== playing?.node && end());
        for (const event of ["execution_success", "execution_error", "execution_interrupted"]) {
            api.addEventListener(event, end);
        }
    },
});
