// The organization as this page knows it: rows from the server, and what follows from them for every group.

export const STATES = [
  // name, sign, colour: kept together so that no state is told by colour alone
  ["calling", "●", "calling"],
  ["running", "▶", "running"],
  ["acting", "◐", "acting"],
  ["ready", "◆", "ready"],
  ["waiting", "○", "waiting"],
  ["parked", "⊘", "parked"],
  ["asking", "?", "asking"],
  ["handed in", "▣", "handed"],
  ["idle", "·", "idle"],
  ["paused", "‖", "paused"],
  ["accepted", "✓", "accepted"],
  ["dropped", "–", "dropped"],
  ["failed", "✗", "failed"],
  ["left", "×", "left"],
];
export const SIGNS = STATES.map(([, sign]) => sign);
export const BUSY = 3; // the first states: at work
export const SETTLED = STATES.findIndex(([name]) => name === "accepted"); // from here on: done with, or gone
const FIELDS = ["index", "parent", "name", "stand", "since", "cost", "tokens", "failures", "steps", "born", "files", "done", "items", "inbox", "tier", "act"];

export class Model {
  constructor() {
    this.rows = [];
    this.children = [];
    this.sums = []; // of each subtree: agents, cost, tokens, failures, and how many stand how
    this.header = {};
    this.position = 0;
    this.grown = 0; // changes with the shape of the tree
  }

  take(delta) {
    for (const values of delta.rows) this.#put(values);
    this.header = delta.header;
    this.position = delta.position;
  }

  #put(values) {
    const row = {};
    FIELDS.forEach((field, at) => {
      row[field] = values[at];
    });
    const old = this.rows[row.index];
    if (!old) {
      this.children[row.index] = [];
      this.sums[row.index] = { agents: 0, cost: 0, tokens: 0, failures: 0, stands: new Uint32Array(STATES.length) };
      if (row.parent >= 0) this.children[row.parent].push(row.index);
      this.grown += 1;
    }
    this.rows[row.index] = row;
    for (let at = row.index; at >= 0; at = this.rows[at].parent) {
      const sum = this.sums[at];
      sum.agents += old ? 0 : 1;
      sum.cost += row.cost - (old?.cost ?? 0);
      sum.tokens += row.tokens - (old?.tokens ?? 0);
      sum.failures += row.failures - (old?.failures ?? 0);
      if (old) sum.stands[old.stand] -= 1;
      sum.stands[row.stand] += 1;
    }
  }

  id(index) {
    const parts = [];
    for (let at = index; at >= 0; at = this.rows[at].parent) parts.push(this.rows[at].name);
    return parts.reverse().join("/");
  }

  find(id) {
    if (!this.rows.length || !id) return -1;
    const parts = id.split("/");
    if (parts[0] !== this.rows[0].name) return -1;
    let at = 0;
    for (const part of parts.slice(1)) {
      const next = this.children[at].find((child) => this.rows[child].name === part);
      if (next === undefined) return -1;
      at = next;
    }
    return at;
  }

  busy(index) {
    const { stands } = this.sums[index];
    return stands[0] + stands[1] + stands[2];
  }

  lineage(index) {
    const found = [];
    for (let at = index; at >= 0; at = this.rows[at].parent) found.push(at);
    return found;
  }
}

// Which groups are closed; shared by chart, list and timeline.
export class Folding {
  constructor(model) {
    this.model = model;
    this.closed = new Set();
    this.byHand = new Set(); // of these, the ones that a person has closed: circles show everybody else
    this.changed = 0;
  }

  // Big organizations begin folded to what fits.
  begin(most = 400) {
    const { model } = this;
    this.openAll();
    if (model.rows.length <= most) return;
    let shown = 1;
    let level = [0];
    while (level.length) {
      const next = level.flatMap((at) => model.children[at]);
      if (shown + next.length > most && level[0] !== 0) {
        for (const at of level) if (model.children[at].length) this.closed.add(at);
        return;
      }
      shown += next.length;
      level = next;
    }
  }

  openAll() {
    this.closed.clear();
    this.byHand.clear();
    this.changed += 1;
  }

  closeAll() {
    this.model.children.forEach((below, at) => at && below.length && this.closed.add(at) && this.byHand.add(at));
    this.changed += 1;
  }

  toggle(index) {
    if (this.closed.delete(index)) this.byHand.delete(index);
    else {
      this.closed.add(index);
      this.byHand.add(index);
    }
    this.changed += 1;
  }

  open(index) {
    for (const at of this.model.lineage(index).slice(1)) {
      this.closed.delete(at);
      this.byHand.delete(at);
    }
    this.changed += 1;
  }

  // Indices in reading order, with their depth; a filter keeps the fitting ones and those above them.
  list(keep = null) {
    const found = [];
    const { model } = this;
    if (!model.rows.length) return found;
    const stack = [[0, 0]];
    while (stack.length) {
      const [at, depth] = stack.pop();
      if (keep && !keep.has(at)) continue;
      found.push([at, depth]);
      if (!keep && this.closed.has(at)) continue;
      const below = model.children[at];
      for (let place = below.length - 1; place >= 0; place -= 1) stack.push([below[place], depth + 1]);
    }
    return found;
  }

  // The agent itself, or the closed group that hides it.
  visible(index, closed = this.closed) {
    let shown = index;
    for (const at of this.model.lineage(index)) if (closed.has(at)) shown = at === index ? shown : at;
    return shown;
  }
}
