// Questions to the service: with its key, and for changes only after they were confirmed.

import {text} from "./parts.js";

const KEY = "piaccel-key", PATIENCE_MS = 5000;
const at = (id) => document.getElementById(id);
export const enc = encodeURIComponent;

// The key: asked for when the service wants one, kept for this tab.

export class Refusal extends Error {
  constructor(status, words) { super(words); this.status = status; }
}

let waiting = null; // for the key that is being asked for

export async function ask(path, {method = "GET", body = null, kind = null, patience = null} = {}) {
  const headers = {}, key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = "Bearer " + key;
  if (kind) headers["Content-Type"] = kind;
  const signal = patience === null ? undefined : AbortSignal.timeout(patience);
  const answer = await fetch(path, {method, headers, body, signal, cache: "no-store"});
  at("key-change").hidden = !key && answer.status !== 401;
  if (answer.ok) return answer;
  const words = await answer.text();
  let reason = words;
  try { reason = JSON.parse(words).error || words; } catch { /* not JSON: shown as it is */ }
  if (answer.status === 401) wantKey(key ? "This key was refused." : "The service asks for a key. One with the scope read shows the numbers, admin makes changes, infer tries a model.");
  if (answer.status === 403) reason += " (the key lacks the scope for it)";
  throw new Refusal(answer.status, reason.trim().slice(0, 500) || `the service answers ${answer.status}`);
}

export function read() { return ask("v2/service", {patience: PATIENCE_MS}).then((answer) => answer.json()); }
export function needsKey() { return waiting !== null; }

function wantKey(words) {
  if (waiting !== null) return;
  waiting = words;
  text(at("key-words"), words);
  at("key-change").hidden = false;
  at("key-value").value = "";
  if (!document.querySelector("dialog[open]")) at("key").showModal();
}

at("key-change").addEventListener("click", () => { waiting = null; wantKey("Give another key, or the same again."); });
at("key-no").addEventListener("click", () => at("key").close());
at("key").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key-value").value.trim());
  waiting = null;
  at("key").close();
  document.dispatchEvent(new Event("key"));
});

// What may be done, and what will happen then. "version" is what the button stands for.

const KEEPS = "Requests under way are finished by the version that has them.";

export const ACTIONS = {
  promote: {
    name: () => "Promote",
    title: (model, version) => `Promote version ${version.version} of ${model.name}?`,
    words: (model, version) => (model.serving ? `Version ${model.serving} goes on answering while version ${version.version} is` : `Version ${version.version} is`)
      + " loaded at a low priority and checked on its golden samples. When it passes, new requests go to it and it is watched on probation;"
      + (model.serving ? ` when it fails, version ${model.serving} answers again and version ${version.version} goes into quarantine.` : " when it fails it goes into quarantine.")
      + " Where memory does not hold two versions, requests are refused while one replaces the other.",
    body: (model, version) => ({version: version.version}),
  },
  rollback: {
    name: (model) => model.previous ? `Roll back to ${model.previous}` : "Roll back",
    title: (model) => `Roll ${model.name} back to version ${model.previous}?`,
    words: (model) => `New requests go to version ${model.previous}. Version ${model.serving} goes into quarantine, so that it does not come back by itself. ${KEEPS}`,
    body: () => ({}),
    strong: true,
  },
  load: {
    name: () => "Load newest",
    title: (model) => `Load the newest version of ${model.name}?`,
    words: (model) => "The newest version in the repository that is not in quarantine is loaded, checked and made the one that answers."
      + (model.serving ? ` Version ${model.serving} answers until then.` : ""),
    body: () => ({}),
  },
  unload: {
    name: () => "Unload",
    title: (model) => `Unload ${model.name}?`,
    words: (model) => `${KEEPS} Then the model ends and gives its memory back; requests for it are refused until it is loaded again, after a restart too.`
      + (model.required ? " The service requires it and will say that it is not ready." : ""),
    body: () => ({}),
    strong: true,
  },
  shadow: {
    name: () => "Shadow",
    title: (model, version) => `Let version ${version.version} of ${model.name} run as a shadow?`,
    words: (model, version) => `Version ${version.version} is loaded beside version ${model.serving} and answers a share of its requests too. The answers are compared and never returned. It takes memory and processor time.`,
    body: (model, version) => ({version: version.version}),
  },
  unshadow: {
    name: () => "End shadow",
    path: "shadow",
    title: (model, version) => `End the shadow of version ${version.version}?`,
    words: () => "It sees no requests any more and is ended. What clients get does not change.",
    body: () => ({}), // no version: nobody
  },
  label: {
    name: () => "Label",
    title: (model, version) => `Label version ${version.version} of ${model.name}`,
    words: () => "Who asks for the label gets this version. Of the requests that name no version, this share goes to it.",
    fields: true,
    body: (model, version, given) => ({label: given.label, version: version.version, share: given.share}),
  },
  unlabel: {
    path: "label",
    name: () => "Take away",
    title: (model, version) => `Take the label ${version.label} from version ${version.version}?`,
    words: (model) => `Requests that name the label find nothing then; its share goes to version ${model.serving || "none"} again.`,
    body: (model, version) => ({label: version.label}),
  },
  release: {
    name: () => "Take out of quarantine",
    title: (model, version) => `Take version ${version.version} of ${model.name} out of quarantine?`,
    words: (model, version) => `It was put there because: ${version.reason || "no reason is known"}. It may be tried again then; when it is the newest, it is tried at once, with the same checks.`,
    body: (model, version) => ({version: version.version}),
    strong: true,
  },
};

let chosen = null;

export function confirm(action, model, version, done) {
  const what = ACTIONS[action];
  chosen = {action, what, model, version, done};
  text(at("confirm-title"), what.title(model, version));
  text(at("confirm-words"), what.words(model, version));
  text(at("confirm-yes"), what.name(model));
  at("confirm-yes").classList.toggle("grave", Boolean(what.strong));
  at("confirm-fields").hidden = !what.fields;
  at("confirm-label").required = Boolean(what.fields);
  at("confirm-label").value = version?.labels?.find((each) => each !== "stable") || "canary";
  at("confirm-share").value = String(Math.round((version?.share || 0) * 100));
  at("confirm").showModal();
  (what.fields ? at("confirm-label") : at("confirm-no")).focus();
}

at("confirm-no").addEventListener("click", () => at("confirm").close());
at("confirm").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const {action, what, model, version, done} = chosen;
  at("confirm").close();
  const given = {label: at("confirm-label").value, share: Number(at("confirm-share").value) / 100};
  const name = what.name(model) + (version ? ` version ${version.version}` : "");
  done(`${name}: asked the service …`, "");
  try {
    await ask(`v2/repository/models/${enc(model.name)}/${what.path || action}`,
      {method: "POST", body: JSON.stringify(what.body(model, version, given)), kind: "application/json"});
    done(`${name}: done at ${new Date().toLocaleTimeString()}`, "good");
  } catch (error) {
    done(`${name}: ${error.message}`, "bad");
  }
});
