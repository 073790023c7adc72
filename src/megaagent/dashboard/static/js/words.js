// Numbers, times and facts in few words.

export const nameOf = (id) => (id ?? "").split("/").pop().replace(/:$/, "");

export function money(dollars) {
  if (!dollars) return "$0.00";
  return Math.abs(dollars) >= 1 ? `$${dollars.toFixed(2)}` : `$${dollars.toFixed(4)}`;
}

export function amount(number) {
  if (number >= 1e6) return `${trim((number / 1e6).toFixed(1))}M`;
  if (number >= 1e4) return `${trim((number / 1e3).toFixed(1))}k`;
  return Math.round(number).toLocaleString("en");
}

const trim = (text) => text.replace(/\.0$/, "");

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 10 && seconds > 0) return `${seconds.toFixed(1)}s`;
  const [minutes, second] = [Math.floor(whole / 60), whole % 60];
  const [hours, minute] = [Math.floor(minutes / 60), minutes % 60];
  if (hours >= 24) return `${Math.floor(hours / 24)}d${String(hours % 24).padStart(2, "0")}h`;
  if (hours) return `${hours}h${String(minute).padStart(2, "0")}m`;
  return minutes ? `${minutes}m${String(second).padStart(2, "0")}s` : `${second}s`;
}

export const plural = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export const percent = (share) => `${(100 * share).toFixed(share && share < 0.1 ? 1 : 0)} %`;

const oneLine = (text, most = 260) => {
  const line = (text ?? "").replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
};

const after = (text) => {
  const line = oneLine(text);
  return line ? `: ${line}` : "";
};

const names = (ids) => (ids ?? []).map(nameOf).join(", ");

const SAID = {
  RunStarted: (e) => `the run began with ${e.model || "a model for each tier"}${after(e.goal)}`,
  RunResumed: (e) => `an engine goes on with the run (${e.version})`,
  RunForked: (e) => `parted from ${e.parent} after its fact ${e.position}`,
  RunRepaired: (e) => `saved from ${e.parent}${after(e.problem)}`,
  RunPaused: (e) => `paused by the ${e.by ?? "engine"}${after(e.reason)}`,
  RunUnpaused: () => "the run goes on",
  RunEnded: (e) => `the run ended, ${e.status}${after(e.reason)}`,
  StateDigested: (e) => `state after fact ${e.position}: ${e.digest}`,
  AgentRecruited: (e) => `recruited ${nameOf(e.id)}${after(e.description)}`,
  AgentRetired: (e) => `${nameOf(e.id)} retired${after(e.reason)}`,
  AgentPaused: (e) => `${nameOf(e.id)} and those below were paused${after(e.reason)}`,
  AgentUnpaused: (e) => `${nameOf(e.id)} and those below go on`,
  AssignmentOpened: (e) => `${nameOf(e.debtor)} owes ${nameOf(e.creditor)}${after(e.task)}`,
  WorkReported: (e) => `handed in${e.forced ? " (by the engine)" : ""}${after(e.report)}`,
  WorkReviewed: (e) => `${e.verdict} ${e.assignment}${after(e.remarks)}`,
  AssignmentFailed: (e) => `${e.assignment} failed${after(e.reason)}`,
  ReviewOpened: (e) => `is to review ${names(e.reported) || "nothing handed in"}${e.quiet ? `; quiet: ${names(e.quiet)}` : ""}`,
  MessageSent: (e) => `${e.message.kind === "talk" || !e.message.kind ? "" : `(${e.message.kind} from ${nameOf(e.message.sender)}) `}→ ${names(e.message.to)}${after(e.message.text)}`,
  MailSetAside: (e) => `${plural(e.ids.length, "message")} set aside${after(e.reason)}`,
  CallIntended: (e) => `asks ${e.model} (${e.purpose}, ${amount(e.tokens ?? 0)} tokens reserved)`,
  CallRetried: (e) => `attempt ${e.attempt} failed, ${e.fault}; again in ${(e.wait ?? 0).toFixed(1)} s${after(e.detail)}`,
  CallRerouted: (e) => `asks ${e.model} in place of ${e.instead_of}${after(e.reason)}`,
  CircuitChanged: (e) => `${e.endpoint}: circuit ${e.position}${after(e.reason)}`,
  BatchIntended: (e) => `hands in ${plural((e.calls ?? []).length, "call")} as a batch for ${e.model}`,
  BatchSent: (e) => `the provider calls the batch ${e.name}`,
  BatchEnded: (e) => `the batch ${e.batch} is over, ${e.how}: ${plural(e.answered ?? 0, "answer")}${after(e.reason)}`,
  TextsEmbedded: (e) => `${plural(e.texts, "text")} made vectors of by ${e.model} (${amount(e.tokens ?? 0)} tokens)`,
  EmbeddingFailed: (e) => `${e.model} makes no vectors, ${e.fault}; recall goes by words${after(e.detail)}`,
  CallFailed: (e) => `no answer, ${e.fault}${after(e.detail)}`,
  ModelAnswered: (e) => `${(e.calls ?? []).map((call) => call.name).join(", ") || "said"}${after(e.text)} (${amount((e.usage?.prompt ?? 0) + (e.usage?.completion ?? 0))} tokens)`,
  ToolReturned: (e) => `${e.tool} ${e.ok === false ? "refused" : "answered"}${after(e.text)}`,
  AgentCorrected: (e) => `corrected${after(e.text)}`,
  TurnEnded: (e) => (e.how === "terminate" ? "rests" : `${e.how === "parked" ? "parked" : `waits for ${names(e.names) || "mail"}`}${after(e.reason)}`),
  TurnRefused: (e) => `${e.how} refused${after(e.reasons.join("; "))}`,
  ChecklistChanged: (e) => `checklist: ${e.items.filter((item) => item.done).length} of ${e.items.length} done`,
  FileCommitted: (e) => `${e.digest ? "wrote" : "removed"} ${e.path}${e.merged ? " (merged)" : ""} at ${e.revision.slice(0, 10)}`,
  ConflictMet: (e) => `met a conflict in ${e.path}`,
  ProgramStarted: (e) => `started ${e.command.join(" ")} (${e.level})`,
  ProgramSpokenTo: (e) => `typed${after(e.text)}`,
  ProgramEnded: (e) => `its program ended, ${e.exit_code === null || e.exit_code === undefined ? "outcome unknown" : `exit code ${e.exit_code}`} after ${(e.seconds ?? 0).toFixed(1)} s${after(e.output)}`,
  ContextCompacted: (e) => `conversation up to step ${e.step} was summarized`,
  NoteShared: (e) => `noted${after(e.text)}`,
  AgentNudged: (e) => `supervisor → ${nameOf(e.id)}: ${e.sign} (${e.action})${after(e.detail)}`,
  VerificationOpened: (e) => `verification, round ${e.round}`,
  CheckRun: (e) => `check ${e.passed ? "passed" : "FAILED"}: ${e.name}${after(e.output)}`,
  VerdictGiven: (e) => (e.confirmed ? "verdict: confirmed" : `verdict: not confirmed${after((e.gaps ?? []).join("; "))}`),
  QuestionAsked: (e) => `asks${after(e.question)}`,
  QuestionAnswered: (e) => `the ${e.by} answered${after(e.text)}`,
  ApprovalAsked: (e) => `asks to be let ${e.tool}${after((e.effect ?? []).join("; "))}`,
  ApprovalAnswered: (e) => `the ${e.by ?? "person"} ${e.ruling === "approve" ? "approved" : "refused"} ${e.id}${after(e.remark)}`,
  ToolBegun: (e) => `begins ${e.tool}`,
  ToolsPinned: (e) => `the tools of the MCP server ${e.server} are held to be those that it offers now (${e.digest.slice(0, 10)})`,
  ServerChanged: (e) => `the MCP server ${e.server} ${{ up: "is up", down: "is down", changed: "offers other tools" }[e.position] ?? e.position}${after(e.detail)}`,
  HumanSpoke: (e) => `a person: ${e.action}${after(e.text)}`,
  BudgetRaised: (e) => `new caps${e.agent ? ` of ${nameOf(e.agent)}` : ""}: ${[e.cost != null ? money(e.cost) : "", e.tokens != null ? `${amount(e.tokens)} tokens` : "", e.seconds != null ? duration(e.seconds) : ""].filter(Boolean).join(", ") || "none"}`,
};

// What a fact says; a kind that this page does not know is shown by its name.
export function saying(fact) {
  try {
    return SAID[fact.event.kind]?.(fact.event) ?? fact.event.kind;
  } catch {
    return fact.event.kind;
  }
}

export const isTrouble = (fact) =>
  ["CallFailed", "CallRetried", "CallRerouted", "CircuitChanged", "AssignmentFailed", "ConflictMet", "TurnRefused", "AgentNudged", "MailSetAside", "AgentCorrected"].includes(fact.event.kind) ||
  (fact.event.kind === "ToolReturned" && fact.event.ok === false) ||
  (fact.event.kind === "ServerChanged" && fact.event.position !== "up") ||
  (fact.event.kind === "CheckRun" && !fact.event.passed);
