// Asking the server: the session, answers, and the stream of news.

let csrf = "";
export const session = { scope: "read", only: null };

export class Refused extends Error {
  constructor(status, text, told = {}) {
    super(text);
    this.status = status;
    this.told = told; // the whole answer, when it was one
  }
}

// Trade the token behind the link's # for a cookie, and take it out of the address.
export async function enter() {
  const found = /^#token=([\w-]+)/.exec(location.hash);
  if (found) {
    history.replaceState(null, "", `${location.pathname}#/`);
    take(await call("/api/session", { method: "POST", body: JSON.stringify({ token: found[1] }) }));
  } else {
    take(await call("/api/session"));
  }
}

function take(given) {
  csrf = given.csrf;
  Object.assign(session, given);
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      credentials: "same-origin",
      redirect: "error",
      ...options,
      headers: options.body ? { "Content-Type": "application/json", "X-CSRF-Token": csrf } : {},
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the server does not answer; it may have ended");
  }
  const text = await response.text();
  if (!response.ok) {
    let told = { text };
    try {
      told = JSON.parse(text);
    } catch {
      // the refusal is plain text
    }
    throw new Refused(response.status, told.text || response.statusText, told);
  }
  return JSON.parse(text);
}

const query = (values) => {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") given.append(name, each);
    }
  }
  const text = given.toString();
  return text ? `?${text}` : "";
};

const of = (run) => `/api/runs/${encodeURIComponent(run)}`;

export const runs = () => call("/api/runs");
export const ask = (run, what, values = {}, signal = undefined) => call(`${of(run)}/${what}${query(values)}`, { signal });
const post = (path, value) => call(path, { method: "POST", body: JSON.stringify(value) });
export const control = (run, request) => post(`${of(run)}/control`, request);
export const write = (run, change) => post(`${of(run)}/file`, change);
export const fork = (run, value) => post(`${of(run)}/fork`, value);
export const resume = (run, value) => post(`${of(run)}/resume`, value);
export const start = (value) => post("/api/runs", value);

// News of a run after a fact. The browser reconnects by itself and says how far it has heard (Last-Event-ID).
export function changes(run, after, onchange, onstate) {
  const source = new EventSource(`${of(run)}/changes${query({ after })}`);
  source.addEventListener("change", (event) => onchange(JSON.parse(event.data)));
  source.addEventListener("open", () => onstate("live"));
  source.addEventListener("error", () => onstate(source.readyState === EventSource.CLOSED ? "lost" : "waiting"));
  return () => source.close();
}
