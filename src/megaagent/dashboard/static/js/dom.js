// Elements from plain values. What agents wrote becomes text nodes only: nothing here parses markup, and the page's
// policy (trusted-types 'none') would refuse it.

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...flat(children));
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

function flat(children) {
  return children.flat(9).filter((child) => child !== undefined && child !== null && child !== false);
}

export function button(words, act, props = {}) {
  return el("button", { type: "button", ...props, onclick: act }, words);
}

// A canvas that is as sharp as the screen and follows the size of its box.
export function canvasIn(box, label, draw) {
  const canvas = el("canvas", { role: "img", "aria-label": label, tabindex: "0" });
  box.append(canvas);
  const state = { canvas, width: 0, height: 0, dirty: false, frames: 0, alive: true };
  state.redraw = () => {
    if (state.dirty || !state.alive) return;
    state.dirty = true;
    requestAnimationFrame(() => {
      state.dirty = false;
      if (!state.alive || !state.width) return;
      const context = canvas.getContext("2d");
      const ratio = window.devicePixelRatio || 1;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, state.width, state.height);
      draw(context, state.width, state.height);
      state.frames += 1;
    });
  };
  const observer = new ResizeObserver(() => {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = box.getBoundingClientRect();
    if (!width || !height) return;
    state.width = width;
    state.height = height;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    state.onresize?.();
    state.redraw();
  });
  observer.observe(box);
  state.close = () => {
    state.alive = false;
    observer.disconnect();
  };
  return state;
}

// Long lists: only the rows that are seen are in the document.
export function virtualList(box, height, draw) {
  const spacer = el("div", { class: "spacer" });
  const shown = el("div", { class: "shown" });
  box.append(spacer, shown);
  let count = 0;
  let pending = false;
  const render = () => {
    pending = false;
    const first = Math.max(0, Math.floor(box.scrollTop / height) - 4);
    const last = Math.min(count, first + Math.ceil(box.clientHeight / height) + 9);
    shown.style.transform = `translateY(${first * height}px)`;
    const rows = [];
    for (let index = first; index < last; index += 1) rows.push(draw(index));
    shown.replaceChildren(...rows);
  };
  const later = () => {
    if (!pending) {
      pending = true;
      requestAnimationFrame(render);
    }
  };
  box.addEventListener("scroll", later, { passive: true });
  const observer = new ResizeObserver(later);
  observer.observe(box);
  return {
    update(total) {
      count = total;
      spacer.style.height = `${total * height}px`;
      later();
    },
    reveal(index) {
      const top = index * height;
      if (top < box.scrollTop) box.scrollTop = top;
      else if (top + height > box.scrollTop + box.clientHeight) box.scrollTop = top + height - box.clientHeight;
      later();
    },
    close: () => observer.disconnect(),
  };
}
