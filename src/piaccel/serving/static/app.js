// The dashboard: asks for the service's numbers once a second and changes what differs in the page.

import {chart, draw, element, number, series, showAlarms, text, time} from "./parts.js";
import {ACTIONS, Refusal, confirm, needsKey, read} from "./actions.js";
import {offerModels} from "./trial.js";

const PERIOD_MS = 1000, MINUTES = 10, GAP_S = 5, THROTTLE = [{value: 80, words: "throttles 80–85 °C"}, {value: 85}];
const LAST = {minutes: MINUTES, words: "last ten minutes"};
const at = (id) => document.getElementById(id);
const cards = new Map();
const heat = [];
let timer = null, lost = false, skew = 0;

const known = (value, words) => value === null || value === undefined ? "not measurable here" : words(value);
const bytes = (value) => value === null || value === undefined ? "–" : value >= 1e9 ? number(value / 1e9, 1, " GB") : number(value / 1e6, 0, " MB");
const percent = (value) => value === null || value === undefined ? "–" : Math.round(value * 100) + " %";
const sum = (causes) => Object.values(causes).reduce((total, each) => total + each, 0);

function zoom(made, history, now) { // from one minute up, so that a page that was just opened shows something
  made.span = 60 * Math.min(MINUTES, Math.max(1, Math.ceil((now - history[0].at) / 60)));
}

function show(node, shown) {
  if (node.hidden === !shown) return;
  if (!shown && node.contains(document.activeElement)) node.closest("section").querySelector("h2").focus();
  node.hidden = !shown;
}

function remember(history, point) {
  const last = history[history.length - 1];
  if (last && point.at - last.at > GAP_S) history.push({at: last.at + 1}); // a gap, not a line across it
  history.push(point);
  while (point.at - history[0].at > MINUTES * 60) history.shift();
}

// The top of the page.

function showHead(seen) {
  text(at("name"), seen.name);
  text(at("facts"), `piaccel ${seen.software}, up ${time(seen.uptime_s)}`);
  const words = seen.draining ? "draining" : seen.ready ? "ready" : seen.live ? "not ready" : "not live";
  text(at("ready"), words);
  at("ready").className = "state " + (seen.ready ? "good" : "bad");
  const troubles = [...seen.reasons, ...seen.alarms, ...(seen.read_only ? ["the disk cannot be written: versions stay as they are"] : [])];
  showAlarms(at("alarms").querySelector("ul"), [...new Set(troubles)]);
  document.title = (seen.ready && !troubles.length ? "" : "⚠ ") + `${words}: ${seen.name}`;
  at("off").hidden = seen.repository_api;
}

const temperature = chart("Temperature", LAST);
at("temperature").append(temperature.root);

function tile(name) {
  const value = element("dd");
  at("readings").append(element("div", {}, element("dt", {}, name), value));
  return value;
}

const tiles = {
  clock: tile("clock"), throttled: tile("throttling"), supply: tile("supply"), memory: tile("free memory"),
  disk: tile("free disk"), own: tile("service's memory"), load: tile("load"), connections: tile("connections"),
};

function showBoard(seen, now) {
  const board = seen.board;
  remember(heat, {at: now, value: board.temperature_c ?? null});
  zoom(temperature, heat, now);
  draw(temperature, now, [{name: "", kind: "hot", points: series(heat, "value")}], {unit: " °C", fromZero: false, limits: THROTTLE});
  const since = known(board.throttled, (bits) => ["under-voltage", "clock capped", "throttled", "soft limit"].filter((_, bit) => bits >> (16 + bit) & 1));
  const values = {
    clock: known(board.clock_hz, (value) => number(value / 1e6, 0, " MHz")),
    throttled: seen.throttled.length ? "⚠ " + seen.throttled.join(", ") : Array.isArray(since) ? (since.length ? `not now; since boot: ${since.join(", ")}` : "none") : since,
    supply: known(board.under_voltage, (value) => value ? "⚠ under-voltage" : "good"),
    memory: known(board.memory_available_bytes, bytes),
    disk: known(seen.disk_free_bytes, bytes) + (seen.read_only ? ", read-only" : ""),
    own: bytes(seen.memory_bytes),
    load: known(board.load, (value) => number(value, 2)),
    connections: String(seen.connections),
  };
  for (const [name, words] of Object.entries(values)) {
    text(tiles[name], words);
    tiles[name].className = words.startsWith("⚠") ? "bad" : words.length > 12 ? "long" : "";
  }
}

// One card for each model, one row for each of its versions; both stay the same nodes for as long as they exist.

const STAGES = {
  staged: "↓", verifying: "↻", verified: "✓", probation: "◐", committed: "✓", standby: "○", shadow: "◌", draining: "↘",
  unloaded: "–", quarantined: "✕",
};
const STEPS = ["staged", "verifying", "probation", "committed"];
const COLUMNS = [
  ["runs", "runs on", "text"], ["share", "share"], ["rate", "answers/s"], ["p50", "p50 ms"], ["p95", "p95 ms"],
  ["p99", "p99 ms"], ["succeeded", "answered"], ["failed", "errors"], ["memory", "memory"], ["agreement", "agrees"],
];

function button(card, action, version = () => null) {
  const made = element("button", {type: "button"});
  made.addEventListener("click", () => {
    if (made.getAttribute("aria-disabled") === "true") { card.say(made.title, "bad"); return; }
    confirm(action, card.model, version(), card.say);
  });
  return made;
}

function label(node, model, action, where = "") {
  text(node, ACTIONS[action].name(model));
  node.setAttribute("aria-label", ACTIONS[action].name(model) + (where ? ` version ${where}` : "") + ` of ${model.name}`);
}

function enable(node, reason) { // not the attribute "disabled": the reason must be found with the keyboard too
  node.setAttribute("aria-disabled", String(Boolean(reason)));
  node.title = reason;
}

function makeCard(name) {
  const card = {history: [], rows: new Map(), most: 0, model: null};
  card.title = element("h2", {tabindex: "-1"}, name);
  card.where = element("p", {class: "soft"});
  card.state = element("span", {class: "state"});
  card.outcome = element("p", {class: "outcome", role: "status"});
  card.say = (words, kind) => { text(card.outcome, words); card.outcome.className = "outcome " + kind; };
  card.buttons = {rollback: button(card, "rollback"), load: button(card, "load"), unload: button(card, "unload")};
  card.steps = STEPS.map((step) => element("li", {}, step));
  card.swap = element("p", {class: "soft"});
  card.progress = element("progress", {max: "1", "aria-label": `Probation of ${name}`});
  card.latency = chart("Latency, ms", LAST);
  card.rate = chart("Answers per second", LAST);
  card.body = element("tbody", {role: "rowgroup"});
  const heads = [element("th", {role: "columnheader", scope: "col"}, "version"), element("th", {role: "columnheader", scope: "col", class: "text"}, "stage"),
    ...COLUMNS.map(([, words, kind]) => element("th", {role: "columnheader", scope: "col", class: kind || ""}, words)),
    element("th", {role: "columnheader", scope: "col"}, element("span", {class: "unseen"}, "change"))];
  const table = element("table", {role: "table", "aria-label": `Versions of ${name}`},
    element("thead", {role: "rowgroup"}, element("tr", {role: "row"}, ...heads)), card.body);
  card.root = element("section", {class: "model", "aria-label": `Model ${name}`},
    element("div", {class: "top"}, element("div", {}, card.title, card.where), card.state, element("div", {class: "buttons"}, ...Object.values(card.buttons))),
    element("div", {class: "swap", role: "group", "aria-label": `Swap of ${name}`}, element("ol", {}, ...card.steps), card.progress, card.swap),
    card.outcome,
    element("div", {class: "charts"}, card.latency.root, card.rate.root),
    element("div", {class: "wide", tabindex: "0", role: "region", "aria-label": `Versions of ${name}`}, table));
  return card;
}

function makeRow(card) {
  const row = {numbers: null, cells: {}};
  const own = () => row.numbers;
  row.name = element("b");
  row.labels = element("span", {class: "labels"});
  row.stage = element("span", {class: "stage"});
  row.reason = element("span", {class: "reason"});
  row.where = element("td", {role: "cell", class: "text stages"}, row.stage, row.reason);
  row.buttons = {};
  for (const action of ["promote", "shadow", "unshadow", "label", "release"]) row.buttons[action] = button(card, action, own);
  const cells = COLUMNS.map(([key, words, kind]) => {
    row.cells[key] = element("span");
    return element("td", {role: "cell", class: kind || "", "data-name": words}, row.cells[key]);
  });
  row.root = element("tr", {role: "row"}, element("th", {scope: "row", role: "rowheader"}, row.name, row.labels),
    row.where, ...cells,
    element("td", {role: "cell", class: "actions"}, element("div", {class: "buttons"}, ...Object.values(row.buttons))));
  return row;
}

function showRow(card, row, version, off) {
  const model = card.model, serves = version.version === model.serving, failed = sum(version.failed), loaded = version.loaded_at !== null;
  row.numbers = version;
  row.root.classList.toggle("serves", serves);
  text(row.name, version.version);
  const names = version.labels.join("\n");
  if (row.labels.dataset.names !== names) {
    row.labels.dataset.names = names;
    if (row.labels.contains(document.activeElement)) card.title.focus();
    row.labels.replaceChildren(...version.labels.map((each) => {
      if (each === "stable") return element("span", {class: "label"}, each);
      const made = button(card, "unlabel", () => ({...row.numbers, label: each}));
      made.classList.add("label");
      made.append(each + " ×");
      made.setAttribute("aria-label", `Take the label ${each} from version ${version.version}`);
      return made;
    }));
  }
  for (const made of row.labels.querySelectorAll("button")) enable(made, off);
  text(row.stage, `${STAGES[version.stage] ?? "?"} ${version.stage}`);
  row.stage.className = "stage " + version.stage;
  text(row.reason, version.reason === version.stage ? "" : version.reason);
  const values = {
    runs: [[version.backend, version.variant].filter(Boolean).join("/") || "–", version.why],
    share: [percent(version.share)], rate: [number(version.rate)], p50: [number(version.p50_ms)], p95: [number(version.p95_ms)],
    p99: [number(version.p99_ms)], succeeded: [String(version.succeeded)],
    failed: [String(failed), Object.entries(version.failed).map(([cause, count]) => `${count} ${cause}`).join(", ")],
    memory: [version.memory_bytes === null ? "shared" : bytes(version.memory_bytes), version.pid ? `process ${version.pid}` : ""],
    agreement: [percent(version.agreement), version.compared ? `${version.compared} answers were compared` : ""],
  };
  for (const [key, [words, more = ""]] of Object.entries(values)) {
    text(row.cells[key], words);
    if (row.cells[key].title !== more) row.cells[key].title = more;
  }
  row.where.colSpan = loaded ? 1 : 1 + COLUMNS.length; // what is not loaded has no numbers, but room for the reason
  for (const cell of Object.values(row.cells)) cell.parentNode.hidden = !loaded;
  row.cells.failed.parentNode.classList.toggle("bad", failed > 0);
  const moving = ["staged", "verifying", "draining"].includes(version.stage), out = version.stage === "quarantined";
  const possible = {
    promote: !serves && !moving && !out, shadow: !serves && !moving && !out && version.stage !== "shadow" && Boolean(model.serving),
    unshadow: version.stage === "shadow", label: !moving && !out, release: out,
  };
  for (const [action, made] of Object.entries(row.buttons)) {
    label(made, model, action, version.version);
    enable(made, off);
    show(made, possible[action]);
  }
}

function showSwap(card, happenings) {
  const model = card.model, version = model.versions.find((each) => each.version === model.swapping);
  const stage = version ? (version.stage === "verified" ? "verifying" : version.stage) : "";
  const left = version?.probation_left ?? null;
  const step = STEPS.indexOf(stage);
  card.steps.forEach((node, place) => {
    node.className = step < 0 ? "" : place < step ? "past" : place === step ? "now" : "";
    if (place === step) node.setAttribute("aria-current", "step"); else node.removeAttribute("aria-current");
  });
  card.most = left === null ? 0 : Math.max(card.most, left);
  card.progress.hidden = left === null;
  if (left !== null) card.progress.value = card.most ? 1 - left / card.most : 0;
  const last = happenings.find((each) => each.model === model.name && ["committed", "rolled back", "quarantined"].includes(each.what));
  text(card.swap, version ? `version ${version.version}: ${stage}` + (left === null ? "" : `, ${left} request${left === 1 ? "" : "s"} left`)
    : "no swap under way" + (last ? `; last: version ${last.version} ${last.what} at ${clock(last.at)}` : ""));
}

function showModel(card, model, seen, now) {
  card.model = model;
  const serving = model.versions.find((each) => each.version === model.serving);
  const others = model.versions.filter((each) => each !== serving && each.rate !== null).map((each) => each.rate);
  text(card.where, serving ? `version ${model.serving} answers, on ${serving.backend}/${serving.variant}`
    + (serving.threads ? `, ${serving.threads} thread${serving.threads === 1 ? "" : "s"}` : "")
    + (model.rung ? `, step ${model.rung} of ${model.rungs - 1} down the heat ladder` : "") : "no version answers");
  text(card.state, model.ready ? "✓ ready" : "✕ not ready");
  card.state.className = "state " + (model.ready ? "good" : "bad");
  const off = seen.repository_api ? "" : "The service takes no changes over the network: it was started without --repository-api";
  for (const [action, made] of Object.entries(card.buttons)) {
    label(made, model, action);
    const missing = {rollback: model.previous ? "" : "There is no version to go back to", unload: model.serving ? "" : "It is not loaded", load: ""}[action];
    enable(made, off || missing);
  }
  showSwap(card, seen.happenings);

  const failed = serving ? sum(serving.failed) : null, before = card.history[card.history.length - 1];
  const seconds = before ? now - before.at : 0, same = before && before.version === model.serving && seconds > 0 && seconds < GAP_S;
  remember(card.history, {
    at: now, version: model.serving, failed, p50: serving?.p50_ms, p95: serving?.p95_ms, p99: serving?.p99_ms, rate: serving?.rate,
    others: others.length ? others.reduce((total, each) => total + each, 0) : null,
    errors: same && failed !== null ? Math.max(0, failed - before.failed) / seconds : null,
  });
  for (const made of [card.latency, card.rate]) zoom(made, card.history, now);
  const line = (name, key, kind) => ({name, kind, points: series(card.history, key)});
  const marks = seen.happenings.filter((each) => each.model === model.name && ["promoted", "committed", "rolled back", "loaded"].includes(each.what)).map((each) => each.at - skew);
  draw(card.latency, now, [line("p50", "p50", "second"), line("p95", "p95", ""), line("p99", "p99", "drops")], {marks});
  const lines = [line(card.history.some((each) => each.others) ? "serving" : "", "rate", "")];
  if (card.history.some((each) => each.others)) lines.push(line("others", "others", "second"));
  if (card.history.some((each) => each.errors)) lines.push(line("errors", "errors", "hot"));
  draw(card.rate, now, lines, {marks});
  for (const version of model.versions) {
    if (!card.rows.has(version.version)) card.rows.set(version.version, makeRow(card));
    showRow(card, card.rows.get(version.version), version, off);
  }
  settle(card.body, model.versions.map((each) => each.version), card.rows, card.title);
}

function settle(root, names, made, fallback) { // the nodes in the order of the names; a node that stays is not moved
  for (const [name, each] of made) {
    if (names.includes(name)) continue;
    if (each.root.contains(document.activeElement)) fallback.focus();
    each.root.remove();
    made.delete(name);
  }
  names.forEach((name, place) => {
    if (root.children[place] !== made.get(name).root) root.insertBefore(made.get(name).root, root.children[place] ?? null);
  });
}

// What happened, newest first.

const SIGNS = {
  loaded: "✓", committed: "✓", promoted: "↑", released: "○", "rolled back": "↩", quarantined: "✕", crash: "✕", hang: "✕", alarm: "⚠",
  unloaded: "–", step: "↧",
};
const WRONG = ["rolled back", "quarantined", "crash", "hang", "alarm"];
const clock = (moment) => new Date(moment * 1000).toLocaleTimeString();

function showEvents(happenings) {
  const list = at("happenings"), key = (each) => JSON.stringify([each.at, each.what, each.model, each.version]);
  at("events-none").hidden = happenings.length > 0;
  list.hidden = !happenings.length;
  const newest = list.firstElementChild?.dataset.key;
  const fresh = happenings.findIndex((each) => key(each) === newest);
  const added = (fresh < 0 ? happenings : happenings.slice(0, fresh)).map((each) => {
    const node = element("li", {class: WRONG.includes(each.what) ? "bad" : ""},
      element("time", {datetime: new Date(each.at * 1000).toISOString(), title: new Date(each.at * 1000).toLocaleString()}, clock(each.at)),
      element("span", {class: "sign", "aria-hidden": "true"}, SIGNS[each.what] ?? "·"),
      element("span", {}, element("b", {}, [each.model, each.version && "version " + each.version, each.what].filter(Boolean).join(" ")), each.reason ? ": " + each.reason : ""));
    node.dataset.key = key(each);
    return node;
  });
  if (fresh < 0) list.replaceChildren();
  list.prepend(...added);
  while (list.children.length > happenings.length) list.lastElementChild.remove();
}

// Once a second, while somebody can see it.

function showAll(seen) {
  const now = Date.now() / 1000;
  skew = seen.started_at + seen.uptime_s - now; // the board's clock may be another than the viewer's
  showHead(seen);
  showBoard(seen, now);
  const models = [...seen.models].sort((one, other) => one.name < other.name ? -1 : 1);
  for (const model of models) {
    if (!cards.has(model.name)) cards.set(model.name, makeCard(model.name));
  }
  settle(at("models"), models.map((each) => each.name), cards, at("trial-model"));
  for (const model of models) showModel(cards.get(model.name), model, seen, now);
  showEvents(seen.happenings);
  offerModels(models);
}

function connected(is, words) {
  document.body.classList.toggle("lost", !is);
  at("connection").className = is ? "live" : "lost";
  text(at("connection"), words);
  lost = !is;
}

async function poll() {
  clearTimeout(timer);
  timer = null;
  if (document.hidden || needsKey()) return;
  try {
    const seen = await read();
    connected(true, "live");
    showAll(seen);
  } catch (error) {
    const refused = error instanceof Refusal && [401, 403].includes(error.status);
    if (refused) connected(false, error.status === 401 ? "a key is needed" : error.message);
    else if (!lost) connected(false, `connection lost at ${new Date().toLocaleTimeString()}: the numbers are old`);
    if (!refused && !(error instanceof Refusal) && !(error instanceof TypeError) && error.name !== "TimeoutError") throw error;
  } finally {
    clearTimeout(timer);
    timer = setTimeout(poll, PERIOD_MS);
  }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
document.addEventListener("key", poll);
poll();
