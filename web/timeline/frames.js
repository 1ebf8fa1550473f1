// Where keyframes and sketches sit in a film, and how a user writes it, as `timeline.py` and `sketches/indices.py` read
// it. Nothing here knows the page.

export const LEAST = 2;
export const MOST = 226;

/** What a user wrote cannot be read: a key of the page's words, and what they say. */
export class Unreadable extends Error {
    constructor(key, values = {}) {
        super(key);
        this.key = key;
        this.values = values;
    }
}

const items = (text) =>
    String(text)
        .split(",")
        .map((item) => item.trim())
        .filter(Boolean);

/** Frames of each segment, from 16, "16" or "16, 24, 12"; `keyframes` is null where their number is not known. */
export function parseCounts(value, keyframes, loop) {
    const written = String(value).split(",").map((item) => item.trim());
    const uncounted = written.find((item) => !/^\d{1,9}$/.test(item) || Number(item) < LEAST || Number(item) > MOST);
    if (uncounted !== undefined) throw new Unreadable("uncounted", { item: uncounted });
    const counts = written.map(Number);
    const segments = keyframes === null ? counts.length : loop ? keyframes : keyframes - 1;
    if (segments < 1) throw new Unreadable("few");
    if (counts.length === 1) return Array(segments).fill(counts[0]);
    if (counts.length !== segments) throw new Unreadable("counts", { given: counts.length, segments });
    return counts;
}

/** One number where all segments have as many frames. */
export function formatCounts(counts) {
    return new Set(counts).size === 1 ? String(counts[0]) : counts.join(", ");
}

/** A film of segments: `ends` are the frames of its keyframes, `span` the last of them, which a loop leaves out. */
export function makeFilm(counts, loop) {
    const ends = [0];
    for (const count of counts) ends.push(ends.at(-1) + count - 1);
    const span = ends.at(-1);
    return { counts, loop, ends, span, total: span + (loop ? 0 : 1) };
}

/** Frames of the film, in the order given, from such as "5, 9-11, -1, 50%, bisect:2, every:4". */
export function parseIndices(text, film) {
    const indices = items(text).flatMap((item) => parseItem(item, film));
    const twice = indices.find((index, place) => indices.indexOf(index) < place);
    if (twice !== undefined) throw new Unreadable("twice", { frame: twice });
    return indices;
}

function parseItem(item, film) {
    const { total } = film;
    let match = item.match(/^(?:(-\d{1,9})|(\d{1,9})(?:\s*-\s*(\d{1,9}))?)$/);
    if (match) return parseRange(item, Number(match[1] ?? match[2]), Number(match[3] ?? match[1] ?? match[2]), total);
    match = item.match(/^(\d{1,3}(?:\.\d{1,6})?)\s*%$/);
    if (match && Number(match[1]) <= 100) {
        const millionths = Math.round(Number(match[1]) * 1e6); // whole numbers, so that halves are halves
        return [Math.ceil((2 * millionths * (total - 1) - 1e8) / 2e8) + 0];
    }
    match = item.match(/^(bisect|every)\s*:\s*(\d{1,9})$/);
    if (!match || !Number(match[2])) throw new Unreadable("unreadable", { item });
    return match[1] === "every" ? everyFrame(Number(match[2]), total) : bisected(Number(match[2]), film);
}

function parseRange(item, first, last, total) {
    if (last < first) throw new Unreadable("unreadable", { item });
    for (const index of [first, last]) {
        if (index < -total || index >= total) throw new Unreadable("outside", { frame: index, last: total - 1 });
    }
    const start = first < 0 ? first + total : first;
    return Array.from({ length: last - first + 1 }, (_, place) => start + place);
}

const everyFrame = (step, total) => Array.from({ length: Math.ceil(total / step) }, (_, place) => place * step);

function bisected(depth, film) {
    return film.counts.flatMap((count, segment) => {
        let stops = [0, count - 1];
        for (let level = 0; level < Math.min(depth, count); level++) {
            const middles = stops.slice(1).map((stop, before) => Math.floor((stops[before] + stop) / 2));
            stops = [...new Set([...stops, ...middles])].sort((a, b) => a - b);
        }
        return stops.slice(1, -1).map((stop) => film.ends[segment] + stop);
    });
}

/** "3, 8-11": three frames and more in a row are a range. */
export function formatIndices(frames) {
    const written = [];
    for (let place = 0; place < frames.length; ) {
        let end = place + 1;
        while (end < frames.length && frames[end] === frames[end - 1] + 1) end++;
        if (end - place < 3) end = place + 1;
        written.push(end - place > 1 ? `${frames[place]}-${frames[end - 1]}` : String(frames[place]));
        place = end;
    }
    return written.join(", ");
}

/** The frame of the film at a share of its strip, 0 to 1. */
export function frameAt(share, film) {
    return Math.min(Math.max(Math.round(share * film.span), 0), film.total - 1);
}

/** Where a frame lies on the strip, 0 to 1. */
export function shareOf(frame, film) {
    return frame / film.span;
}

/** The next frame after `frame` in steps of `step` that is not taken; `frame` where there is none. */
export function nextFree(frame, step, taken, film) {
    let next = frame + step;
    while (taken.includes(next)) next += step;
    return next >= 0 && next < film.total ? next : frame;
}

/** The frame in the middle of the widest gap between keyframes and sketches, or null where every frame is taken. */
export function widestGap(taken, film) {
    const stops = [...new Set([...film.ends, ...taken])].sort((a, b) => a - b);
    const gaps = stops.slice(1).map((stop, before) => [stop - stops[before], Math.floor((stops[before] + stop) / 2)]);
    const [width, middle] = gaps.reduce((widest, gap) => (gap[0] > widest[0] ? gap : widest));
    return width > 1 ? middle : null;
}

/** Strengths where a sketch is added: a list of one for each of `count` sketches gets one more, other texts stay. */
export function withStrength(text, count, strength) {
    return isList(text, count) ? [...items(text), strength].join(", ") : text;
}

/** Strengths where sketch `index` of `count` is removed. */
export function withoutStrength(text, count, index) {
    return isList(text, count) ? items(text).toSpliced(index, 1).join(", ") : text;
}

const isList = (text, count) => count > 1 && items(text).length === count;
