// Try it out: a picture goes to a model, its answer and the annotated picture come back.

import {element, number, text} from "./parts.js";
import {ask, enc} from "./actions.js";

const at = (id) => document.getElementById(id);
const MOST = 10; // findings shown; all are in the JSON
let models = [], file = null, address = null, turn = 0;

function options(select, names) { // [value, words]; changed only when they differ, so that an open list stays open
  const wanted = JSON.stringify(names);
  if (select.dataset.names === wanted) return;
  const before = select.value;
  select.dataset.names = wanted;
  select.replaceChildren(...names.map(([value, words]) => element("option", {value}, words)));
  if (names.some(([value]) => value === before)) select.value = before;
}

export function offerModels(seen) {
  models = seen;
  options(at("trial-model"), models.map((each) => [each.name, each.name]));
  const model = models.find((each) => each.name === at("trial-model").value);
  const loaded = (model?.versions ?? []).filter((each) => each.state === "READY");
  options(at("trial-version"), [["", model?.serving ? `${model.serving}, which answers` : "whoever answers"],
    ...loaded.filter((each) => each.version !== model.serving).map((each) => [each.version, `${each.version}, ${each.stage}`])]);
}

at("trial-model").addEventListener("change", () => { at("trial-version").value = ""; offerModels(models); });

// Answers of the four kinds of task, as [share from 0 to 1, words].

function findings(result) {
  switch (result?.kind) {
    case "classification": return result.top.map((each) => [each.score, each.label]);
    case "detection": return result.boxes.map((each) => [each.score, `${each.label} at ${each.xyxy.map((side) => side.toFixed(0)).join(", ")}`]);
    case "segmentation": return result.classes.map((each) => [each.share, each.label]);
    case "keypoints": case "pose": return result.poses.flat().map((each) => [each.score, `${each.name} at ${each.x.toFixed(0)}, ${each.y.toFixed(0)}`]);
    default: return [];
  }
}

function showAnswer(answer, elapsed) {
  const found = findings(answer.result);
  at("trial-found").replaceChildren(...found.slice(0, MOST).map(([share, words]) =>
    element("li", {}, element("meter", {min: "0", max: "1", value: String(share), "aria-hidden": "true"}), element("b", {}, number(share * 100, 1, " %")), element("span", {}, words))),
    ...(found.length ? [] : [element("li", {}, element("span", {}, "nothing found"))]),
    ...(found.length > MOST ? [element("li", {class: "soft"}, `and ${found.length - MOST} more`)] : []));
  const times = Object.entries(answer.times_ms ?? {});
  const who = [answer.parameters?.backend, answer.parameters?.variant].filter(Boolean).join("/");
  const rows = [["answered by", `version ${answer.model_version ?? answer.version}${who ? ", " + who : ""}`],
    ...times.map(([name, value]) => [name, number(value, 2, " ms")]), ["there and back", number(elapsed, 1, " ms")]];
  at("trial-times").replaceChildren(...rows.flatMap(([name, words]) => [element("dt", {}, name), element("dd", {}, words)]));
  text(at("trial-json"), JSON.stringify(answer, null, 2));
  at("trial-answer").hidden = at("trial-details").hidden = false;
}

function picture(source, words) {
  if (address !== null) URL.revokeObjectURL(address);
  address = URL.createObjectURL(source);
  at("trial-picture").src = address;
  at("trial-picture").alt = words;
  at("trial-picture").hidden = false;
}

async function run() {
  const model = at("trial-model").value, version = at("trial-version").value, mine = ++turn;
  if (!model || file === null) { text(at("trial-state"), model ? "" : "there is no model to try"); return; }
  const path = `v2/models/${enc(model)}${version ? "/versions/" + enc(version) : ""}/predict`;
  const send = (query) => ask(path + query, {method: "POST", body: file, kind: file.type || "application/octet-stream"});
  text(at("trial-state"), `asking ${model} …`);
  at("trial-state").className = "";
  try {
    const begun = performance.now();
    const answer = await (await send("")).json();
    const elapsed = performance.now() - begun;
    if (mine !== turn) return;
    showAnswer(answer, elapsed);
    const drawn = await (await send("?annotate=1")).blob();
    if (mine !== turn) return;
    picture(drawn, `${file.name || "The picture"} with the answer of ${model} drawn on it`);
    text(at("trial-state"), `answered in ${number(elapsed, 1, " ms")}`);
  } catch (error) {
    if (mine !== turn) return;
    text(at("trial-state"), `no answer: ${error.message}`);
    at("trial-state").className = "bad";
    at("trial-answer").hidden = at("trial-details").hidden = true;
  }
}

function take(given) {
  if (!given) return;
  file = given;
  text(at("trial-words"), `${file.name || "a picture"}, ${number(file.size / 1e3, 0, " kB")}. Another one:`);
  at("trial-again").hidden = false;
  picture(file, file.name || "The picture");
  run();
}

for (const id of ["trial-file", "trial-camera"]) {
  at(id).addEventListener("change", () => { take(at(id).files[0]); at(id).value = ""; });
}
at("trial-again").addEventListener("click", run);
const drop = at("drop");
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files[0]); });
document.addEventListener("paste", (event) => take(event.clipboardData?.files[0]));
