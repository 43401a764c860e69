import {chart, draw, element, number, series, showAlarms, text, time} from "./parts.js";

const PERIOD_MS = 1000, PATIENCE_MS = 5000, SHOWN_AT_FIRST = 2;
const panels = new Map();
let lost = false;

function address(path, extra = "") {
  const query = new URLSearchParams(location.search), token = query.get("token");
  return path + "?" + (token === null ? "" : "token=" + encodeURIComponent(token) + "&") + extra;
}

function perSecond(points) {
  return points.slice(1).map((point, place) => {
    const before = points[place], seconds = point.at - before.at;
    const known = point.value !== null && before.value !== null && seconds > 0;
    return {at: point.at, value: known ? Math.max(0, (point.value - before.value) / seconds) : null};
  });
}

// Tables.

function table(node, heads, rows) {
  const head = element("tr");
  for (const [name, kind] of heads) head.append(element("th", {scope: "col", class: kind || ""}, name));
  const body = element("tbody");
  for (const row of rows) {
    const line = element("tr");
    row.forEach((cell, place) => {
      const [words, kind] = Array.isArray(cell) ? cell : [cell, heads[place][1] || ""];
      line.append(place === 0 ? element("th", {scope: "row"}, words) : element("td", {class: kind}, words));
    });
    body.append(line);
  }
  node.replaceChildren(element("thead", {}, head), body);
}

function state(words, good) {
  return element("span", {class: "state " + (good ? "good" : "bad")}, words);
}

function counts(causes) {
  return Object.entries(causes).filter(([, count]) => count).sort((one, other) => other[1] - one[1]);
}

// One panel for each stream.

function panel(name, shown) {
  const made = {name, title: element("h2"), trouble: element("p", {class: "trouble", role: "status"})};
  made.picture = element("img", {alt: `Annotated picture of ${name}`});
  made.words = element("p", {class: "words"}, "no picture yet");
  made.button = element("button", {type: "button"});
  made.tiles = element("dl", {class: "tiles"});
  made.values = {};
  for (const [key, label] of [["rate", "results/s"], ["p50", "age p50, ms"], ["p95", "age p95, ms"], ["p99", "age p99, ms"], ["late", "late"], ["dropped", "dropped"]]) {
    made.values[key] = element("dd");
    made.tiles.append(element("div", {}, element("dt", {}, label), made.values[key]));
  }
  made.rate = chart("Results per second");
  made.age = chart("Age, ms");
  made.drops = chart("Drops per second");
  made.stages = element("table", {"aria-label": `Durations of ${name}`});
  made.causes = element("table", {"aria-label": `Frames of ${name}`});
  const figure = element("figure", {}, element("div", {class: "frame"}, made.picture, made.words), made.button);
  made.root = element("section", {class: "stream", "aria-label": `Stream ${name}`}, made.title, made.trouble, figure,
    element("div", {class: "charts"}, made.tiles, made.rate.root, made.age.root, made.drops.root),
    element("div", {class: "facts"}, element("div", {class: "wide", tabindex: "0", role: "region", "aria-label": `Durations of ${name}`}, made.stages), element("div", {class: "wide", tabindex: "0", role: "region", "aria-label": `Frames of ${name}`}, made.causes)));
  made.shown = shown;
  made.failed = 0;
  made.picture.addEventListener("load", () => { made.words.hidden = true; made.picture.hidden = false; });
  made.picture.addEventListener("error", () => {
    if (!made.playing) return;
    made.playing = false;
    made.failed = Date.now();
    made.picture.hidden = true;
    made.words.hidden = false;
    text(made.words, "no picture now: too many viewers, or the connection was lost");
  });
  made.button.addEventListener("click", () => { made.shown = !made.shown; made.failed = 0; play(made); });
  play(made);
  return made;
}

function play(made) {
  text(made.button, made.shown ? "Hide picture" : "Show picture");
  made.button.setAttribute("aria-pressed", String(made.shown));
  const wanted = made.shown && !document.hidden && !lost && Date.now() - made.failed > PATIENCE_MS;
  if (wanted === Boolean(made.playing)) return;
  made.playing = wanted;
  if (wanted) {
    made.picture.src = address("video/" + encodeURIComponent(made.name) + ".mjpg", "at=" + Date.now());
  } else {
    made.picture.removeAttribute("src"); // ends the connection, and with it the encoding
    made.picture.hidden = true;
    made.words.hidden = false;
    text(made.words, made.shown ? "no picture now" : "the picture is hidden");
  }
}

function showStream(made, stream, seen) {
  const rung = stream.rung === null ? "" : `, rung ${stream.rung} of ${stream.rungs - 1}`;
  const where = [stream.backend, stream.variant].filter(Boolean).join("/") || "no model yet";
  made.title.replaceChildren(stream.name, element("small", {}, `${stream.model} on ${where}, ${stream.policy}${rung}`));
  text(made.trouble, stream.model_error);
  made.trouble.hidden = !stream.model_error;
  const age = stream.recent_age, dropped = counts(stream.dropped).reduce((sum, [, count]) => sum + count, 0);
  text(made.values.rate, number(stream.rate));
  text(made.values.p50, number(age.p50_ms));
  text(made.values.p95, number(age.p95_ms));
  text(made.values.p99, number(age.p99_ms));
  text(made.values.late, stream.deadline_ms === null ? "–" : String(stream.late));
  text(made.values.dropped, String(dropped));

  draw(made.rate, seen.at, [{name: "", kind: "", points: series(seen.history, stream.name + ".rate")}]);
  draw(made.age, seen.at, [
    {name: "p50", kind: "second", points: series(seen.history, stream.name + ".age_p50_ms")},
    {name: "p95", kind: "", points: series(seen.history, stream.name + ".age_p95_ms")},
  ], {limits: stream.deadline_ms === null ? [] : [{value: stream.deadline_ms, words: `deadline ${number(stream.deadline_ms)}`}]});
  draw(made.drops, seen.at, [{name: "", kind: "drops", points: perSecond(series(seen.history, stream.name + ".dropped"))}]);

  const spread = (name, each) => [name, number(each.p50_ms), number(each.p95_ms), number(each.p99_ms), number(each.max_ms)];
  table(made.stages, [["ms, whole run"], ["p50"], ["p95"], ["p99"], ["max"]], [
    spread("age", stream.age), spread("gap", stream.gap),
    ...Object.entries(stream.stages).map(([name, each]) => spread(name, each)),
  ]);
  table(made.causes, [["frames"], [""]], [
    ["offered", String(stream.offered)], ["answered", String(stream.answered)], ["failed", String(stream.failed)],
    ["waiting", String(stream.waiting)],
    ...counts(stream.dropped).map(([cause, count]) => ["dropped: " + cause, String(count)]),
  ]);
}

function showStreams(seen) {
  const root = document.getElementById("streams");
  seen.streams.forEach((stream, place) => {
    if (!panels.has(stream.name)) {
      panels.set(stream.name, panel(stream.name, place < SHOWN_AT_FIRST));
      root.append(panels.get(stream.name).root);
    }
    showStream(panels.get(stream.name), stream, seen);
  });
}

const temperature = chart("Temperature");
const BITS = ["under-voltage", "clock capped", "throttled", "soft temperature limit"];

function readings(board) {
  const known = (value, words) => value === null || value === undefined ? "not measurable here" : words(value);
  return [
    ["temperature", known(board.temperature_c, (value) => number(value, 1, " °C"))],
    ["power", known(board.power_w, (value) => number(value, 2, " W"))],
    ["clock", known(board.clock_hz, (value) => number(value / 1e6, 0, " MHz"))],
    ["throttled", known(board.throttled, (value) => {
      const now = BITS.filter((_, bit) => value >> bit & 1).map((name) => name + " now");
      const before = BITS.filter((_, bit) => value >> (16 + bit) & 1 && !(value >> bit & 1)).map((name) => name + " since boot");
      return [...now, ...before].join(", ") || "no";
    })],
    ["supply", known(board.under_voltage, (value) => value ? "under-voltage" : "good")],
    ["free memory", known(board.memory_available_bytes, (value) => number(value / 1e6, 0, " MB"))],
    ["load", known(board.load, (value) => number(value, 2))],
  ];
}

function show(seen) {
  text(document.getElementById("up"), "running for " + time(seen.up_s));
  showAlarms(document.querySelector("#alarms ul"), seen.alarms);
  showStreams(seen);
  document.getElementById("temperature").replaceChildren(temperature.root);
  draw(temperature, seen.at, [{name: "", kind: "hot", points: series(seen.history, "temperature_c")}], {unit: " °C", fromZero: false});
  document.getElementById("readings").replaceChildren(...readings(seen.board).flatMap(([name, words]) => [element("dt", {}, name), element("dd", {}, words)]));
  table(document.getElementById("sources"), [["source"], ["state"], ["per s"], ["frames"], ["size"], ["lost"], ["reconnects"], ["restamped"], ["trouble", "text"]],
    seen.cameras.map((each) => [each.name, [state(each.state, ["running", "opening", "ended"].includes(each.state)), ""], number(each.fps), String(each.produced),
      each.size === null ? "–" : `${each.size[1]}×${each.size[0]}`, String(each.lost), String(each.reconnects), String(each.restamped), [each.error || "–", "text"]]));
  table(document.getElementById("sinks"), [["sink"], ["state"], ["sent"], ["queued"], ["retries"], ["lag s"], ["given up", "text"], ["trouble", "text"]],
    seen.sinks.map((each) => [each.name, [state(each.state, ["open", "opening", "closed"].includes(each.state)), ""], String(each.sent), String(each.queued), String(each.retries),
      number(each.lag_s), [counts(each.given_up).map(([cause, count]) => `${count} ${cause}`).join(", ") || "–", "text"], [each.error || "–", "text"]]));
  document.getElementById("heat").hidden = !seen.steps.length;
  document.getElementById("steps").replaceChildren(...seen.steps.slice(-20).reverse().map((each) => element("li", {}, each)));
}

function connected(is, words) {
  const node = document.getElementById("connection");
  document.body.classList.toggle("lost", !is);
  node.className = is ? "live" : "lost";
  text(node, words);
  lost = !is;
}

async function poll() {
  try {
    const answer = await fetch(address("status.json"), {cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS)});
    if (!answer.ok) throw new Error(answer.status === 401 ? "a token is needed: open this page with ?token=..." : `the server answers ${answer.status}`);
    const seen = await answer.json();
    connected(true, "live");
    show(seen);
  } catch (error) {
    if (!lost) connected(false, `connection lost at ${new Date().toLocaleTimeString()}: the numbers are old (${error.message})`);
  }
  for (const made of panels.values()) play(made);
  setTimeout(poll, PERIOD_MS);
}

document.addEventListener("visibilitychange", () => { for (const made of panels.values()) play(made); });
poll();
