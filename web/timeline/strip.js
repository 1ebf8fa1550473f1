// The strip of a film: what is shown, and what the pointer and the keys do. It knows neither nodes nor widgets.
//
// `show` takes a model: {film, keyframes, sketches, message, edit}. A film is one of `makeFilm`; keyframes and sketches
// are [{frame, url}]; `edit` has what may be changed: {move, add, remove, counts, done}, each optional.

import { frameAt, LEAST, MOST, nextFree, shareOf, widestGap } from "./frames.js";
import { say } from "./words.js";

const EMPTY = { film: null, keyframes: [], sketches: [], message: "", edit: {} };
const MOST_TICKS = 80;

function make(tag, className, parent, attributes = {}) {
    const element = document.createElement(tag);
    element.className = className;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
}

export class Strip {
    #model = EMPTY;
    #keyframes = [];
    #ends = [];
    #sketches = [];

    constructor() {
        this.element = make("div", "tooncrafter-timeline", document.createDocumentFragment(), { role: "group" });
        const track = make("div", "track", this.element);
        this.axis = make("div", "axis", track);
        const foot = make("div", "foot", this.element);
        this.message = make("span", "message", foot, { role: "status" });
        this.add = make("button", "add", foot, { type: "button" });
        this.add.textContent = "+";
        track.addEventListener("click", (event) => this.#clicked(event));
        this.add.addEventListener("click", () => this.#addAt(this.#gap()));
        this.element.addEventListener("pointerdown", (event) => {
            if (event.button === 0) event.stopPropagation(); // so that the node is not dragged
        });
        this.element.addEventListener("keydown", (event) => {
            if (["Delete", "Backspace"].includes(event.key)) event.stopPropagation(); // so that the node stays
        });
    }

    show(model) {
        this.#model = { ...EMPTY, ...model };
        const { film, keyframes, sketches, message, edit } = this.#model;
        this.element.setAttribute("aria-label", say("timeline"));
        this.axis.style.setProperty("--span", film && film.span <= MOST_TICKS ? film.span : 1);
        this.axis.parentElement.classList.toggle("open", Boolean(edit.add));
        this.message.textContent = this.message.title = message;
        this.add.hidden = !edit.add;
        this.add.disabled = !edit.add || this.#gap() === null;
        this.add.title = say("add");
        this.add.setAttribute("aria-label", say("add"));
        this.#match(this.#ends, film?.counts ?? [], "end", (place) => this.#makeEnd(place));
        this.#match(this.#keyframes, keyframes, "keyframe", () => make("div", "keyframe", this.axis));
        this.#match(this.#sketches, sketches, "sketch", (place) => this.#makeSketch(place));
    }

    /** As many elements as there are things, in their places; those that are there stay, with focus and pointer. */
    #match(elements, things, kind, add) {
        while (elements.length > things.length) elements.pop().remove();
        while (elements.length < things.length) elements.push(add(elements.length));
        const { film, edit } = this.#model;
        for (const [place, element] of elements.entries()) {
            const frame = kind === "end" ? film.ends[place + 1] : things[place].frame;
            element.style.left = `${100 * shareOf(frame, film)}%`;
            if (kind === "end") {
                const text = say("segment_frames", { count: film.counts[place] });
                const name = say("segment", { number: place + 1 });
                describe(element, name, film.counts[place], [LEAST, MOST], text, Boolean(edit.counts));
            } else {
                picture(element, place + 1, frame, things[place].url);
                const name = say(kind, { number: place + 1 });
                describe(element, name, frame, [0, film.total - 1], say("frame", { frame }), Boolean(edit.move));
            }
        }
    }

    #makeSketch(place) {
        const button = make("button", "sketch", this.axis, { type: "button", role: "slider" });
        draggable(button, () => {
            const { sketches, film } = this.#model;
            const width = this.axis.getBoundingClientRect().width;
            const share = shareOf(sketches[place].frame, film);
            const drag = (distance) => this.#moveTo(place, frameAt(share + distance / width, film));
            return { drag, done: () => this.#done() };
        });
        button.addEventListener("keydown", (event) => this.#sketchKey(event, place));
        return button;
    }

    #makeEnd(place) {
        const button = make("button", "end", this.axis, { type: "button", role: "slider" });
        draggable(button, () => {
            const { film } = this.#model; // the scale stays while the film gets longer
            const perFrame = this.axis.getBoundingClientRect().width / film.span;
            const drag = (distance) => this.#setCount(place, film.counts[place] + Math.round(distance / perFrame));
            return { drag, done: () => this.#done() };
        });
        button.addEventListener("keydown", (event) => this.#endKey(event, place));
        return button;
    }

    #sketchKey(event, place) {
        const { sketches, film, edit } = this.#model;
        const frame = sketches[place].frame;
        const next = (step, from = frame) => nextFree(from, step, this.#taken(), film);
        const moves = {
            ArrowLeft: () => next(-1),
            ArrowRight: () => next(1),
            Home: () => next(1, -1),
            End: () => next(-1, film.total),
        };
        if (event.key in moves) {
            this.#moveTo(place, moves[event.key]());
        } else if (["Delete", "Backspace"].includes(event.key)) {
            edit.remove(place);
            this.#sketches[Math.min(place, this.#sketches.length - 1)]?.focus();
        } else {
            return;
        }
        handled(event);
        this.#done();
    }

    #endKey(event, place) {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        this.#setCount(place, this.#model.film.counts[place] + step);
        handled(event);
        this.#done();
    }

    #clicked(event) {
        const { film, edit } = this.#model;
        if (!film || !edit.add || event.target.closest("button")) return;
        const bounds = this.axis.getBoundingClientRect();
        this.#addAt(frameAt((event.clientX - bounds.left) / bounds.width, film));
    }

    #addAt(frame) {
        if (!this.#taken().includes(frame)) {
            this.#model.edit.add(frame);
            this.#done();
        }
        this.#sketches[this.#taken().indexOf(frame)]?.focus();
    }

    #moveTo(place, frame) {
        if (!this.#taken().includes(frame)) this.#model.edit.move(place, frame);
    }

    #setCount(place, count) {
        const { film, edit } = this.#model;
        const held = Math.min(Math.max(count, LEAST), MOST);
        if (held !== film.counts[place]) edit.counts(film.counts.with(place, held));
    }

    #taken() {
        return this.#model.sketches.map((sketch) => sketch.frame);
    }

    #gap() {
        return this.#model.film && widestGap(this.#taken(), this.#model.film);
    }

    #done() {
        this.#model.edit.done?.();
    }
}

function handled(event) {
    event.preventDefault();
    event.stopPropagation();
}

/** Tell an element's name and value to those who do not see it. */
function describe(element, name, value, [least, most], text, enabled) {
    element.title = `${name}: ${text}`;
    if (element.tagName !== "BUTTON") return;
    element.disabled = !enabled;
    const told = { label: name, valuenow: value, valuemin: least, valuemax: most, valuetext: text };
    for (const [key, content] of Object.entries(told)) element.setAttribute(`aria-${key}`, content);
}

/** A thumbnail with its frame's number; the picture's own number where there is none, or it does not load. */
function picture(element, number, frame, url) {
    const content = `${number} ${frame} ${url}`;
    if (element.dataset.content === content) return;
    const shown = element.querySelector("img")?.getAttribute("src");
    if (shown === undefined || shown !== url) {
        element.replaceChildren();
        make("span", "number", element);
        if (url) {
            const image = make("img", "", element, { alt: "", draggable: "false" });
            image.addEventListener("error", () => image.remove());
            image.src = url;
        }
        make("span", "frame", element);
    }
    element.dataset.content = content;
    element.querySelector(".number").textContent = number;
    element.querySelector(".frame").textContent = frame;
}

/** Call `begin` when a drag begins, and what it gives with the distance in pixels, and when it ends. */
function draggable(button, begin) {
    button.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        event.preventDefault();
        button.focus();
        button.setPointerCapture(event.pointerId);
        const { drag, done } = begin();
        const move = (moved) => drag(moved.clientX - event.clientX);
        button.addEventListener("pointermove", move);
        button.addEventListener(
            "lostpointercapture",
            () => {
                button.removeEventListener("pointermove", move);
                done();
            },
            { once: true },
        );
    });
}
