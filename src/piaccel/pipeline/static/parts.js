// What the pipeline's page and the service's dashboard are made of.
// Everything that comes from a server is set as text or as a number in a drawing, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

export function number(value, digits = 1, unit = "") {
  if (value === null || value === undefined) return "–";
  return (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(digits)) + unit;
}

export function time(seconds) {
  const whole = Math.floor(seconds), pad = (value) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
}

export function series(history, key) {
  return history.map((point) => ({at: point.at, value: point[key] ?? null}));
}

// A list of alarms, changed only when the words do: a screen reader reads out what changes.
export function showAlarms(list, alarms) {
  if (JSON.stringify([...list.children].map((each) => each.textContent)) !== JSON.stringify(alarms)) {
    list.replaceChildren(...alarms.map((each) => element("li", {}, each)));
  }
}

// Charts: lines over the last minutes, newest at the right. Pointing at one shows the numbers of that moment.

export function chart(title, {minutes = 5, words = "last five minutes"} = {}) {
  const heading = element("h3"), plot = element("div", {class: "plot", role: "img"});
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 300 100");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  const top = element("span", {class: "top"}), bottom = element("span", {class: "bottom"});
  const none = element("span", {class: "none"}), since = element("span", {class: "since"});
  plot.append(drawing, top, bottom, since, none);
  const root = element("div", {class: "chart"}, heading, plot);
  const made = {title, span: minutes * 60, words, root, heading, plot, drawing, top, bottom, since, none, pointed: null};
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    made.pointed = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    made.again?.();
  });
  plot.addEventListener("pointerleave", () => { made.pointed = null; made.again?.(); });
  return made;
}

export function draw(made, now, lines, options = {}) {
  const {unit = "", limits = [], fromZero = true, digits = 1, marks = []} = options;
  made.again = () => draw(made, now, lines, options);
  const values = lines.flatMap((line) => line.points.map((point) => point.value)).filter((value) => value !== null);
  if (values.length) values.push(...limits.map((limit) => limit.value));
  const most = Math.max(...values, -Infinity);
  const low = fromZero || !values.length ? 0 : Math.min(...values) - 2;
  const high = !values.length ? 1 : fromZero ? Math.max(most, 0) * 1.4 : most + (most - low) * 0.3; // room for the labels
  const span = high - low || 1;
  const x = (at) => (300 - (now - at) / made.span * 300).toFixed(1);
  const y = (value) => (96 - (value - low) / span * 92).toFixed(1);
  const add = (kind, path) => {
    const shape = document.createElementNS(SVG, "path");
    shape.setAttribute("class", kind);
    shape.setAttribute("d", path || "M0 0");
    made.drawing.append(shape);
  };
  made.drawing.replaceChildren();
  for (const at of marks) if (now - at < made.span) add("mark", `M${x(at)} 0V100`);
  for (const line of lines) {
    let path = "", pen = "M";
    for (const point of line.points) {
      if (point.value === null || point.value === undefined) { pen = "M"; continue; }
      path += `${pen}${x(point.at)} ${y(point.value)}`;
      pen = "L";
    }
    add("line " + line.kind, path);
  }
  if (values.length) for (const limit of limits) add("limit", `M0 ${y(limit.value)}H300`);
  const pointed = made.pointed === null ? null : now - (1 - made.pointed) * made.span;
  if (pointed !== null) add("pointed", `M${x(pointed)} 0V100`);
  const words = lines.map((line) => `${line.name} ${number(valueAt(line.points, pointed), digits, unit)}`.trim());
  const keys = lines.map((line, place) => element("span", {class: "words-of"},
    ...(lines.length > 1 ? [element("i", {class: "key " + line.kind})] : []), element("b", {}, words[place])));
  for (const limit of limits) {
    if (limit.words) keys.push(element("span", {class: "words-of"}, element("i", {class: "key limit"}), limit.words));
  }
  if (pointed !== null) keys.push(element("span", {class: "moment"}, ` ${new Date(pointed * 1000).toLocaleTimeString()}`));
  made.heading.replaceChildren(made.title + " ", ...keys.flatMap((key) => [key, " "]));
  if (pointed === null) made.plot.setAttribute("aria-label", `${made.title}, ${made.words}; now ${words.join(", ")}`);
  text(made.top, values.length ? number(high, digits, unit) : "");
  text(made.bottom, values.length ? number(low, digits, unit) : "");
  text(made.since, values.length ? `${Math.round(made.span / 60)} min` : "");
  text(made.none, values.length ? "" : "no numbers yet");
}

function valueAt(points, at) {
  if (!points.length) return null;
  if (at === null) return points[points.length - 1].value;
  return points.reduce((best, point) => Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best).value;
}
