// A small part of Markdown as elements: headings, lists, quotes, code, tables, emphasis, links to web pages.
//
// Text becomes text nodes, and the only attributes are those that stand in this file: no HTML, no picture, and a link
// leads to http or https and shows where. What is not understood stays as it was written. Emphasis by underscores is
// left out on purpose: agents write names such as __init__ more often than they stress a word.

import { el } from "./dom.js";

const LONGEST = 60_000; // characters; beyond, a text is shown as it was written
const DEEPEST = 6; // quotes and lists within each other
const WIDEST = 40; // columns of a table

// None of these takes more than a few looks at each character, however a line is made.
const FENCE = /^ {0,3}(`{3,9}|~{3,9})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s{0,12})([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}>\s?(.*)$/;
const TASK = /^\[([ xX])\]\s+(.*)$/;
const BETWEEN = /^\|?:?-+:?(\|:?-+:?)*\|?$/; // of a line without its spaces

export const prose = { written: false }; // a person wants every text as it was written

// What an agent wrote, in a box of its own.
export function said(text, style = "") {
  return prose.written ? el("div", { class: `said ${style}` }, text) : el("div", { class: `said md ${style}` }, markdown(text));
}

// Nodes for a text.
export function markdown(text) {
  if (text.length > LONGEST) return [el("div", { class: "asis" }, text)];
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}

function blocks(lines, depth) {
  const done = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) {
      at += 1;
      continue;
    }
    const next = fence(lines, at) ?? heading(line, at) ?? rule(line, at) ?? quote(lines, at, depth) ?? list(lines, at, depth) ?? table(lines, at) ?? paragraph(lines, at);
    done.push(next.node);
    at = next.end;
  }
  return done;
}

function fence(lines, at) {
  const found = FENCE.exec(lines[at]);
  if (!found) return null;
  let end = at + 1;
  while (end < lines.length && !(lines[end].trim().startsWith(found[1]) && !lines[end].trim().slice(found[1].length).replaceAll(found[1][0], ""))) end += 1;
  return { node: el("pre", { class: "block" }, lines.slice(at + 1, end).join("\n")), end: end + 1 };
}

function heading(line, at) {
  const found = HEADING.exec(line);
  return found && { node: el("div", { class: `h h${found[1].length}`, role: "heading", "aria-level": Math.min(6, found[1].length + 3) }, inline(found[2].trim())), end: at + 1 };
}

function rule(line, at) {
  return RULE.test(line) ? { node: el("hr"), end: at + 1 } : null;
}

function quote(lines, at, depth) {
  if (depth >= DEEPEST || !QUOTE.test(lines[at])) return null;
  let end = at;
  const inner = [];
  for (; end < lines.length && QUOTE.test(lines[end]); end += 1) inner.push(QUOTE.exec(lines[end])[1]);
  return { node: el("blockquote", {}, blocks(inner, depth + 1)), end };
}

// An item reaches to the next line that is not indented deeper than its sign.
function list(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first || depth >= DEEPEST) return null;
  const edge = first[1].length;
  const numbered = /\d/.test(first[2]);
  const node = el(numbered ? "ol" : "ul", numbered ? { start: Math.min(999_999, parseInt(first[2], 10)) } : {});
  let end = at;
  while (end < lines.length) {
    const found = ITEM.exec(lines[end]);
    if (!found || found[1].length > edge + 1 || found[1].length < edge || /\d/.test(found[2]) !== numbered) break;
    const task = TASK.exec(found[3]);
    const inner = [];
    end += 1;
    while (end < lines.length) {
      const indent = lines[end].search(/\S/);
      const goesOn = indent > edge + 1 || (indent < 0 && (lines[end + 1] ?? "").search(/\S/) > edge + 1);
      if (!goesOn) break;
      inner.push(lines[end].slice(Math.min(Math.max(indent, 0), edge + found[2].length + 1)));
      end += 1;
    }
    node.append(el("li", task ? { class: "task" } : {}, task ? (task[1] === " " ? "☐ " : "☑ ") : null, inline(task ? task[2] : found[3]), blocks(inner, depth + 1)));
  }
  return { node, end };
}

const cells = (line) => line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/).slice(0, WIDEST).map((cell) => cell.trim().replaceAll("\\|", "|"));

const begins = (lines, at) => lines[at].includes("|") && lines[at + 1]?.includes("-") && BETWEEN.test(lines[at + 1].replace(/\s/g, ""));

function table(lines, at) {
  if (!begins(lines, at)) return null;
  const head = cells(lines[at]);
  if (head.length !== cells(lines[at + 1]).length) return null;
  let end = at + 2;
  const rows = [];
  for (; end < lines.length && lines[end].includes("|"); end += 1) rows.push(cells(lines[end]));
  const node = el("div", { class: "wide-table" }, el("table", {},
    el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, inline(cell))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, head.map((_, column) => el("td", {}, inline(row[column] ?? ""))))))));
  return { node, end };
}

function paragraph(lines, at) {
  let end = at + 1;
  const ends = (line) => begins(lines, end) || !line.trim() || FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
  while (end < lines.length && !ends(lines[end])) end += 1;
  return { node: el("p", {}, inline(lines.slice(at, end).join("\n"))), end };
}

// -- within a line --------------------------------------------------------------------------------------------------

const PAIRS = [["**", "strong"], ["~~", "s"], ["*", "em"]];
const LINK = /\[([^\[\]\n]{1,400})\]\(([^\s()<>]{1,2000})\)/y;
const BARE = /https?:\/\/[^\s<>"'`)\]}|]{1,2000}/y;

function inline(text, inside = "") {
  const done = [];
  const missing = new Set(); // signs that have no partner from here on, so that nothing is looked for twice
  let plain = 0;
  let at = 0;
  const take = (node, end) => {
    if (at > plain) done.push(text.slice(plain, at));
    done.push(node);
    plain = at = end;
  };
  while (at < text.length) {
    const sign = text[at];
    const found = sign === "`" ? code(text, at, missing) : sign === "*" || sign === "~" ? stressed(text, at, inside, missing) : sign === "[" ? linked(text, at) : sign === "h" ? bare(text, at) : null;
    if (found) take(found.node, found.end);
    else at += sign === "!" && text[at + 1] === "[" ? 2 : 1; // a picture stays text
  }
  if (plain < text.length) done.push(text.slice(plain));
  return done;
}

function code(text, at, missing) {
  const marks = /^`+/.exec(text.slice(at, at + 8))[0];
  if (missing.has(marks)) return null;
  const end = text.indexOf(marks, at + marks.length);
  if (end < 0) missing.add(marks);
  return end <= at + marks.length ? null : { node: el("code", {}, text.slice(at + marks.length, end)), end: end + marks.length };
}

function stressed(text, at, inside, missing) {
  if (/\w/.test(text[at - 1] ?? "")) return null; // 7*7 is a product
  for (const [sign, tag] of PAIRS) {
    if (!text.startsWith(sign, at) || inside.includes(tag) || missing.has(sign)) continue;
    const from = at + sign.length;
    if (!text[from] || /\s/.test(text[from])) continue;
    const end = text.indexOf(sign, from + 1);
    if (end < 0) {
      missing.add(sign);
      continue;
    }
    if (/\s/.test(text[end - 1]) || /\w/.test(text[end + sign.length] ?? "")) continue;
    return { node: el(tag, {}, inline(text.slice(from, end), `${inside} ${tag}`)), end: end + sign.length };
  }
  return null;
}

function linked(text, at) {
  LINK.lastIndex = at;
  const found = LINK.exec(text);
  const to = found && address(found[2]);
  return to ? { node: [out(found[1], to), found[1] === to ? null : el("span", { class: "soft to" }, ` (${to})`)], end: at + found[0].length } : null;
}

function bare(text, at) {
  if (at && !/[\s"'(]/.test(text[at - 1])) return null;
  if (text.slice(at - 2, at) === "](") return null; // of a picture, or of a link that may not be
  BARE.lastIndex = at;
  const found = BARE.exec(text)?.[0].replace(/[.,;:!?*_~]+$/, "");
  const to = found && address(found);
  return to ? { node: out(found, to), end: at + found.length } : null;
}

// Where a link leads, spelled out, when it may: to a web page, without a user's name that could pass for the host.
function address(text) {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return null;
  const { protocol, username, password, href } = new URL(text);
  return /^https?:$/.test(protocol) && !username && !password ? href : null;
}

const out = (words, to) => el("a", { class: "out", href: to, title: to, rel: "noopener noreferrer nofollow external", target: "_blank" }, words);
