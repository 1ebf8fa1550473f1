// Wires and widgets of a graph, followed across the edges of subgraphs.

const OUTSIDE = -10; // where wires begin that come into a subgraph; some pages write it as a text
export const BYPASSED = 4; // a mode of a node
const UNKNOWN_NODE = { type: "", inputs: [] };

/**
 * A widget, the node it is on, its value, and whether that is what runs: not so where a wire brings another. Inside a
 * subgraph it may be the widget that stands for it outside.
 */
export function setting(node, name) {
    const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
    const link = slot < 0 ? null : node.graph.getLink(node.inputs[slot].link);
    const place = link && cameIn(link) ? placeOf(node.graph) : null;
    const outside = place && setting(place, place.inputs[link.origin_slot].name);
    if (outside?.widget) return outside;
    const widget = node.widgets?.find((widget) => widget.name === name);
    return { node, widget, value: widget?.value, own: Boolean(widget) && !link };
}

const cameIn = (link) => Number(link.origin_id) === OUTSIDE;

/** The node that a subgraph is on the graph around it; null where there are several. */
function placeOf(graph) {
    const places = nodesOf(graph).filter((node) => node.subgraph === graph);
    return places.length === 1 ? places[0] : null;
}

/** The node that a wire into an input comes from, or null where nothing is connected. */
export function sourceOf(node, slot) {
    const link = node.graph.getLink(node.inputs[slot]?.link);
    if (!link) return null;
    if (cameIn(link)) {
        const place = placeOf(node.graph);
        return place ? sourceOf(place, link.origin_slot) : UNKNOWN_NODE;
    }
    let [source, output] = [node.graph.getNodeById(link.origin_id), link.origin_slot];
    while (source?.subgraph && source.mode !== BYPASSED) {
        const inside = source.resolveSubgraphOutputLink(output);
        [source, output] = [inside?.outputNode, inside?.link.origin_slot];
    }
    return source ?? UNKNOWN_NODE;
}

/** All nodes that wires of a type come from, one behind the other, into a node. */
export function sourcesOf(node, type, found = new Set()) {
    for (const [slot, input] of (node.inputs ?? []).entries()) {
        const source = [type, "*"].includes(input.type) && sourceOf(node, slot);
        if (!source || found.has(source)) continue;
        found.add(source);
        sourcesOf(source, type, found);
    }
    return found;
}

/** All nodes of the workflow that a graph is part of. */
export function nodesOf({ rootGraph }) {
    return [rootGraph, ...rootGraph.subgraphs.values()].flatMap((graph) => graph.nodes);
}
