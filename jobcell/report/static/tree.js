"use strict";
// Values as trees, and the changes between two of them.
var jobcellTree = (() => {
  const {cut, make, number} = jobcellParts;
  const PORTION = 200; // entries that a click brings into the page
  const LONGEST = 1000; // characters of a text that are shown without a click

  // Values that JSON lacks have the forms of `engine.to_json`.
  const FORMS = {
    $float: (text) => ({nan: "NaN", inf: "Infinity", "-inf": "-Infinity"})[text] || text,
    $int: (text) => text.startsWith("-") ? `-${BigInt(text.slice(1))}` : String(BigInt(text)),
    $bytes: (text) => `bytes ${JSON.stringify(text)}`,
    $packed: () => "(nested too deeply to be shown)",
  };
  function formOf(value) {
    const names = Object.keys(value);
    return names.length === 1 && Object.hasOwn(FORMS, names[0]) && typeof value[names[0]] === "string" ? names[0] : null;
  }
  const isBranch = (value) => value !== null && typeof value === "object" && formOf(value) === null;

  // Integers that JavaScript would round keep their digits, where the browser shows them to a reviver.
  const whole = (_, value, context) => typeof value === "number" && context && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  const parse = (text) => /\d{16}/.test(text) ? JSON.parse(text, whole) : JSON.parse(text);

  function textOf(value) {
    if (typeof value === "string") return JSON.stringify(value);
    if (value === null || typeof value !== "object") return String(value);
    const form = formOf(value);
    try { return FORMS[form](value[form]); } catch (error) { return JSON.stringify(value); }
  }
  const alike = (a, b) => isBranch(a) && isBranch(b) && Array.isArray(a) === Array.isArray(b);

  function same(a, b) {
    if (a === b) return true;
    if (!alike(a, b)) return a !== null && b !== null && typeof a === "object" && typeof b === "object" && !isBranch(a) && !isBranch(b) && textOf(a) === textOf(b);
    const names = Object.keys(a);
    return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]));
  }

  const keyOf = (name) => name === null ? null : make("span", {class: "key"}, `${name}: `);

  // The text of a value that is not a branch; a click shows the rest of a long one.
  function leafText(value, kind) {
    const text = textOf(value);
    if (text.length <= LONGEST) return make("span", {class: kind}, text);
    const all = make("button", {type: "button", onclick: () => span.replaceChildren(make("span", {}, text))}, `Show all ${number(text.length)} characters`);
    const span = make("span", {class: kind}, cut(text, LONGEST), " ", all);
    return span;
  }

  // An object or a list. Its entries come into the page when it is opened, a portion at a time.
  function branch(label, value, mark, isOpen, entries, note) {
    const count = Array.isArray(value) ? `[${number(value.length)}]` : `{${number(Object.keys(value).length)}}`;
    const details = make("details", {class: mark, open: isOpen}, make("summary", {}, label, count));
    let done = 0;
    const fill = () => {
      for (const entry of entries.slice(done, done + PORTION)) details.append(entry());
      done += PORTION;
      const left = entries.length - done;
      if (left <= 0) { if (note) details.append(make("div", {class: "leaf note"}, note)); return; }
      const more = make("button", {type: "button", class: "leaf", onclick: () => {
        const before = more.previousElementSibling;
        more.remove();
        fill();
        const first = before.nextElementSibling; // the keyboard goes on where it was
        if (first) { first.tabIndex = -1; (first.querySelector("summary") || first).focus(); }
      }}, `Show ${number(Math.min(PORTION, left))} more of ${number(left)}`);
      details.append(more);
    };
    if (isOpen) fill(); else details.addEventListener("toggle", fill, {once: true});
    return details;
  }

  const WORDS = {added: ["+ ", "added: "], removed: ["\u2212 ", "removed: "]};
  const signOf = (mark) => mark in WORDS ? [make("span", {"aria-hidden": true}, WORDS[mark][0]), make("span", {class: "hidden"}, WORDS[mark][1])] : [];

  function tree(name, value, mark, depth) {
    const label = make("span", {}, ...signOf(mark), keyOf(name));
    if (!isBranch(value)) return make("div", {class: `leaf ${mark}`}, label, leafText(value));
    const names = Object.keys(value);
    const isOpen = depth < 1 || (depth < 2 && names.length <= 30);
    return branch(label, value, mark, isOpen, names.map((inner) => () => tree(inner, value[inner], "", depth + 1)));
  }

  // What has become of a value. Entries that are as they were are only counted.
  function changes(name, before, after, depth) {
    if (alike(before, after)) {
      const entries = [];
      let kept = 0;
      for (const inner of Object.keys(after)) {
        if (!Object.hasOwn(before, inner)) entries.push(() => tree(inner, after[inner], "added", depth + 1));
        else if (same(before[inner], after[inner])) kept += 1;
        else entries.push(() => changes(inner, before[inner], after[inner], depth + 1));
      }
      for (const inner of Object.keys(before)) {
        if (!Object.hasOwn(after, inner)) entries.push(() => tree(inner, before[inner], "removed", depth + 1));
      }
      const note = kept ? `${number(kept)} ${entries.length ? "more " : ""}${kept === 1 ? "is as it was" : "are as they were"}` : null;
      return branch(make("span", {}, keyOf(name)), after, "", depth < 2 || (depth < 12 && entries.length <= 20), entries, note);
    }
    if (isBranch(before) || isBranch(after)) {
      return make("div", {}, tree(name, before, "removed", depth), tree(name, after, "added", depth));
    }
    return make("div", {class: "leaf changed"}, keyOf(name), leafText(before, "old"), make("span", {"aria-hidden": true}, " \u2192 "), make("span", {class: "hidden"}, " is now "), leafText(after, "new"));
  }

  return {changes, parse, tree};
})();
