// The shared files: content with who wrote each line, history, changes, and how conflicts were settled.

import { el, button, fill } from "./dom.js";
import { amount, nameOf } from "./words.js";
import { markdown } from "./markdown.js";
import * as api from "./api.js";

export function files(root, app) {
  const { params } = app;
  const names = el("nav", { class: "files", "aria-label": "Files" });
  const bar = el("div", { class: "head bar" });
  const body = el("div", { class: "scroll" });
  root.append(el("div", { class: "split stack" }, names, el("div", { class: "view" }, bar, body)));
  let commits = -1;
  let all = [];

  async function load() {
    commits = app.model.header.commits;
    const given = await api.ask(app.run, "files");
    all = given.files;
    drawNames(given.total);
    await show();
  }

  function drawNames(total) {
    const path = params.get("path");
    fill(names,
      button(el("span", {}, "All commits"), () => app.set({ path: "", show: "", revision: "" }), { "aria-current": String(!path) }),
      all.map(([name, size]) => button([el("span", {}, name), el("span", { class: "soft" }, amount(size))], () => app.set({ path: name, revision: "", old: "" }), { "aria-current": String(name === path), title: name })),
      total > all.length ? el("p", { class: "soft" }, `and ${total - all.length} more`) : null,
      all.length ? null : el("p", { class: "empty" }, "No file yet."));
  }

  async function show() {
    const path = params.get("path");
    const what = params.get("show") || "content";
    if (!path) {
      fill(bar, el("h2", {}, "All commits"));
      await history(undefined);
      return;
    }
    fill(bar, el("h2", { class: "mono" }, path), el("span", { class: "choice" }, views(path).map((each) => button(each, () => app.set({ show: each === "content" ? "" : each, revision: "", old: "" }), { "aria-pressed": String(each === what) }))), params.get("revision") ? el("span", { class: "soft mono" }, `at ${params.get("revision").slice(0, 10)}`) : null);
    if (what === "history") await history(path);
    else if (what === "change") await change(path);
    else if (what === "page") await page(path);
    else await content(path);
  }

  async function content(path) {
    const given = await api.ask(app.run, "file", { path, revision: params.get("revision") });
    const code = el("div", { class: "code" });
    let before = "";
    given.lines.forEach(([who, revision, text], at) => {
      const id = `${who} ${revision}`;
      code.append(el("span", { class: id === before ? "who same" : "who", title: `${who} in ${revision}` }, nameOf(who)), el("span", { class: "n" }, String(at + 1)), el("span", { class: "t" }, text));
      before = id;
    });
    fill(body, given.lines.length ? code : el("p", { class: "empty" }, "An empty file."), given.total > given.lines.length ? el("p", { class: "soft" }, `${given.total - given.lines.length} further lines are not shown`) : null);
  }

  const views = (path) => ["content", ...(/\.(md|markdown)$/i.test(path) ? ["page"] : []), "history"];

  async function page(path) {
    const given = await api.ask(app.run, "file", { path, revision: params.get("revision") });
    fill(body, el("div", { class: "said md page" }, markdown(given.lines.map(([, , text]) => text).join("\n"))));
  }

  async function history(path) {
    const given = await api.ask(app.run, "history", { path });
    fill(body,
      el("table", {}, el("thead", {}, el("tr", {}, ["When", "Agent", "What", "Revision", ""].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, given.commits.map((commit, at) => el("tr", {},
          el("td", { class: "num" }, app.time(commit.time)), el("td", {}, app.agentLink(commit.agent)), el("td", { class: "words" }, commit.subject), el("td", { class: "mono soft" }, commit.revision.slice(0, 10)),
          el("td", {}, path ? [button("change", () => app.set({ show: "change", revision: commit.revision, old: given.commits[at + 1]?.revision ?? "" }), { class: "link" }), " ", button("as it was", () => app.set({ show: "", revision: commit.revision }), { class: "link" })] : null))))),
      el("h3", {}, `Where writes met · ${given.conflicts.length}`),
      given.conflicts.map((meeting) => el("div", { class: "row" }, el("span", { class: "num soft" }, app.time(meeting.time)), app.agentLink(meeting.agent), el("span", { class: meeting.how === "met a conflict" ? "warn" : "good" }, meeting.how), path ? null : el("a", { href: app.link("files", { path: meeting.path }) }, meeting.path))));
  }

  async function change(path) {
    const given = await api.ask(app.run, "change", { path, old: params.get("old"), new: params.get("revision") });
    fill(body, el("div", { class: "diff" }, given.lines.map((text) => el("div", { class: text.startsWith("@@") ? "at" : text.startsWith("+") ? "add" : text.startsWith("-") ? "del" : "" }, text || " "))), given.lines.length ? null : el("p", { class: "empty" }, "Nothing changed."));
  }

  app.guarded(load());
  return {
    update() {
      if (app.model.header.commits !== commits && app.ticks % 8 === 0 && !params.get("revision")) app.guarded(load());
    },
    close() {},
  };
}
