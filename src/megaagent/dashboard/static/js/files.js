// The shared files: content with who wrote each line, history, changes, and how conflicts were settled.

import { el, button, fill } from "./dom.js";
import { amount, nameOf } from "./words.js";
import { markdown } from "./markdown.js";
import { confirm } from "./dialogs.js";
import * as api from "./api.js";

export function files(root, app) {
  const { params } = app;
  const names = el("nav", { class: "files", "aria-label": "Files" });
  const bar = el("div", { class: "head bar" });
  const body = el("div", { class: "scroll" });
  root.append(el("div", { class: "split stack" }, names, el("div", { class: "view" }, bar, body)));
  let commits = -1;
  let all = [];
  let seen = ""; // the revision of the list
  let writing = null; // what a person is changing: path, text, and the revision at which it was seen
  const may = () => api.session.scope === "full" && app.live;

  async function load() {
    commits = app.model.header.commits;
    const given = await api.ask(app.run, "files");
    all = given.files;
    seen = given.revision;
    drawNames(given.total);
    await show();
  }

  function drawNames(total) {
    const path = params.get("path");
    fill(names,
      may() ? button("+ Add a file", () => edit({ path: "", text: "", revision: "" }), { class: "add" }) : null,
      button(el("span", {}, "All commits"), () => app.set({ path: "", show: "", revision: "" }), { "aria-current": String(!path) }),
      all.map(([name, size]) => button([el("span", {}, name), el("span", { class: "soft" }, amount(size))], () => app.set({ path: name, revision: "", old: "" }), { "aria-current": String(name === path), title: name })),
      total > all.length ? el("p", { class: "soft" }, `and ${total - all.length} more`) : null,
      all.length ? null : el("p", { class: "empty" }, "No file yet."));
  }

  async function show() {
    const path = params.get("path");
    const what = params.get("show") || "content";
    const later = [];
    writing = null;
    if (!path) {
      fill(bar, el("h2", {}, "All commits"));
      await history(undefined);
      return;
    }
    if (what === "content" && may() && !params.get("revision")) later.push(button("Edit", () => app.guarded(open(path))), button("Remove", () => app.guarded(remove(path)), { class: "danger" }));
    fill(bar, el("h2", { class: "mono" }, path), el("span", { class: "choice" }, views(path).map((each) => button(each, () => app.set({ show: each === "content" ? "" : each, revision: "", old: "" }), { "aria-pressed": String(each === what) }))), params.get("revision") ? el("span", { class: "soft mono" }, `at ${params.get("revision").slice(0, 10)}`) : null, later);
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
      el("table", {}, el("thead", {}, el("tr", {}, ["When", "Agent", "What", "Revision", ""].map((name) => el("th", { scope: "col", class: name === "When" ? "num" : "" }, name)))),
        el("tbody", {}, given.commits.map((commit, at) => el("tr", {},
          el("td", { class: "num" }, app.time(commit.time)), el("td", {}, app.agentLink(commit.agent)), el("td", { class: "words" }, commit.subject), el("td", { class: "mono soft" }, commit.revision.slice(0, 10)),
          el("td", {}, path ? [button("change", () => app.set({ show: "change", revision: commit.revision, old: given.commits[at + 1]?.revision ?? "" }), { class: "link" }), " ", button("as it was", () => app.set({ show: "", revision: commit.revision }), { class: "link" })] : null))))),
      el("h3", {}, `Where writes met · ${given.conflicts.length}`),
      given.conflicts.map((meeting) => met(meeting, path)));
  }

  async function change(path) {
    const given = await api.ask(app.run, "change", { path, old: params.get("old"), new: params.get("revision") });
    fill(body, el("div", { class: "diff" }, given.lines.map((text) => el("div", { class: text.startsWith("@@") ? "at" : text.startsWith("+") ? "add" : text.startsWith("-") ? "del" : "" }, text || " "))), given.lines.length ? null : el("p", { class: "empty" }, "Nothing changed."));
  }

  // How a conflict ended, or that writes were merged; and a way to see what became of the lines.
  function met(meeting, path) {
    const { how, settled, time } = meeting;
    const words = how === "merged" ? ["good", "merged with what others had changed"] : settled ? ["good", `met a conflict, and settled it at ${app.time(settled)}`] : ["warn", "met a conflict that is not settled yet"];
    return el("div", { class: "row" }, el("span", { class: "num soft" }, app.time(time)), app.agentLink(meeting.agent), el("span", { class: words[0] }, words[1]),
      path ? null : el("a", { href: app.link("files", { path: meeting.path, show: "history" }) }, meeting.path),
      meeting.new ? el("a", { href: app.link("files", { path: meeting.path, show: "change", old: meeting.old ?? "", revision: meeting.new }) }, "what it came to") : null);
  }

  // -- a person writes -----------------------------------------------------------------------------------------------

  async function open(path) {
    const file = await api.ask(app.run, "text", { path });
    edit({ path, text: file.text, revision: file.revision });
  }

  function edit(file, words = "") {
    const windows = file.text.includes("\r\n"); // a text field would lose them
    const name = el("input", { type: "text", class: "grow mono", "aria-label": "Name of the file", placeholder: "folder/name.txt", value: file.path, readOnly: Boolean(file.revision) });
    const text = el("textarea", { class: "mono editor", "aria-label": "Content", spellcheck: "false" });
    text.value = file.text;
    writing = file;
    const save = async () => {
      const wanted = { path: name.value.trim(), text: windows ? text.value.replace(/\r?\n/g, "\r\n") : text.value, base: file.revision };
      try {
        app.notice((await api.write(app.run, wanted)).text);
      } catch (error) {
        if (!error.told?.marked) throw error;
        edit({ path: wanted.path, text: error.told.marked, revision: error.told.revision }, `${error.message}. Below are both texts: keep what is right, take the marks out, and save again.`);
        return;
      }
      leave(wanted.path);
    };
    fill(bar, name, button("Save", () => app.guarded(save()), { class: "primary" }), button("Cancel", () => app.guarded(show())));
    fill(body, words ? el("p", { class: "warn" }, words) : el("p", { class: "soft" }, "Saved as a commit of yours. Agents that write to the same file merge with it."), text);
    (file.revision ? text : name).focus();
  }

  async function remove(path) {
    if (!(await confirm(`Remove ${path}?`, "Agents no longer see it. Its history stays, and it can be written again.", "Remove"))) return;
    app.notice((await api.write(app.run, { path, text: null, base: seen })).text);
    leave("");
  }

  // What was written is shown, also when the address stays what it was.
  function leave(path) {
    writing = null;
    if (path === (params.get("path") ?? "")) app.guarded(load());
    else app.set({ path, show: "", revision: "", old: "" });
  }

  app.guarded(load());
  return {
    update() {
      if (!writing && app.model.header.commits !== commits && app.ticks % 8 === 0 && !params.get("revision")) app.guarded(load());
    },
    close() {},
  };
}
