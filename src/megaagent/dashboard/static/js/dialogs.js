// Questions to the person at the page; the browser's own dialog keeps the focus inside.

import { el, button } from "./dom.js";

export function confirm(title, words, act, danger = true) {
  return new Promise((resolve) => {
    const end = (value) => () => {
      resolve(value);
      box.close();
    };
    const box = el("dialog", { "aria-label": title }, el("h2", {}, title), el("p", {}, words), el("div", { class: "bar" }, button("Cancel", end(false)), button(act, end(true), { class: danger ? "danger" : "primary" })));
    show(box, () => resolve(false));
  });
}

// Fields: name, label, kind (text, area, number), value. Resolves to their values, or null.
export function form(title, words, fields, act) {
  return new Promise((resolve) => {
    const inputs = fields.map((field) => {
      const input = el(field.kind === "area" ? "textarea" : "input", { type: field.kind === "number" ? "number" : "text", step: "any", name: field.name, placeholder: field.hint, "aria-label": field.label });
      input.value = field.value ?? "";
      return input;
    });
    const done = (event) => {
      event?.preventDefault();
      resolve(Object.fromEntries(fields.map((field, at) => [field.name, inputs[at].value])));
      box.close();
    };
    const box = el("dialog", { "aria-label": title }, el("form", { onsubmit: done }, el("h2", {}, title), words ? el("p", { class: "soft" }, words) : null,
      fields.map((field, at) => el("p", {}, el("label", {}, el("div", { class: "soft" }, field.label), inputs[at]))),
      el("div", { class: "bar" }, button("Cancel", () => box.close()), el("button", { type: "submit", class: "primary" }, act))));
    for (const input of inputs) input.style.width = "100%";
    show(box, () => resolve(null));
  });
}

export function keys(groups) {
  const box = el("dialog", { "aria-label": "Keys" }, el("h2", {}, "Keys"), el("div", { class: "keys" }, groups.map(([key, words]) => [el("span", {}, key.split(" ").map((each) => [el("kbd", {}, each), " "])), el("span", {}, words)])), el("div", { class: "bar" }, button("Close", () => box.close())));
  show(box, () => {});
}

function show(box, closed) {
  document.body.append(box);
  box.addEventListener("close", () => {
    closed();
    box.remove();
  });
  box.showModal();
}

